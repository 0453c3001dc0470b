"""Versions: of what vlpeft needs, of what some parts need, and of pairs that only work together."""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement
from packaging.version import Version

from vlpeft.version import __version__
from vlpeft.zoo.folder import zoo_root

from .findings import BROKEN, NOTE, OK, Finding, one_line

#: Other distributions of the same module.
ALSO = {'mmcv-lite': 'mmcv', 'onedl-mmpretrain': 'mmpretrain'}
#: Libraries of the extras: what they are for, and the extra.
OPTIONAL = {
    'pycocoevalcap': ('scores of captions', 'captions'),
    'h5py': ('stored visual features', 'features'),
    'soundfile': ('sound files', 'audio'),
    'peft': ('methods of Hugging Face PEFT', 'peft'),
    'tensorboard': ('TensorBoard logs', 'optional'),
    'wandb': ('Weights & Biases logs', 'optional'),
}
OLDEST_PYTHON = (3, 10)
# torchvision 0.15 came with torch 2.0, 0.16 with 2.1, and so on.
TORCHVISION_BEHIND = 15


def check_libraries() -> Iterator[Finding]:
    """Python, vlpeft, its requirements, pairs, extras."""
    python = '.'.join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        yield Finding('Python', BROKEN, f'{python}; vlpeft needs {".".join(map(str, OLDEST_PYTHON))} or newer')
    else:
        yield Finding('Python', OK, f'{python} ({sys.executable})')
    yield Finding('vlpeft', OK, f'{__version__} ({zoo_root()})')
    for requirement in requirements():
        yield check_requirement(requirement)
    torch, torchvision = installed('torch'), installed('torchvision')
    if torch and torchvision:
        yield from check_pair(torch, torchvision)
        yield check_operators()
    for name, (purpose, extra) in OPTIONAL.items():
        found = installed(name)
        missing = f"not installed; {purpose} need it: pip install 'vlpeft[{extra}]'"
        yield Finding(name, OK, found) if found else Finding(name, NOTE, missing)


def requirements() -> list[Requirement]:
    """What the package needs without extras: from its metadata, or those of the checkout if it is not installed."""
    try:
        lines = requires('vlpeft') or []
    except PackageNotFoundError:
        folder = zoo_root() / 'requirements'
        files = [folder / f'{name}.txt' for name in ('runtime', 'mminstall', 'multimodal')]
        lines = [line for file in files if file.is_file() for line in file.read_text().splitlines()]
    parsed = [Requirement(line) for line in map(str.strip, lines) if line and not line.startswith('#')]
    return [item for item in parsed if item.marker is None or item.marker.evaluate(dict(extra=''))]


def installed(name: str) -> str | None:
    """Version of a distribution, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def check_requirement(requirement: Requirement) -> Finding:
    """Whether a library is there in a version that vlpeft works with."""
    name = next((name for name in (requirement.name, ALSO.get(requirement.name)) if name and installed(name)), None)
    if name is None:
        return Finding(requirement.name, BROKEN, f"not installed: pip install '{requirement}'")
    found = installed(name)
    if not requirement.specifier.contains(found, prereleases=True):
        wanted = f"vlpeft needs {requirement.specifier}: pip install '{requirement}'"
        return Finding(name, BROKEN, f'{found}; {wanted}')
    return Finding(name, OK, found)


def check_pair(torch: str, torchvision: str) -> Iterator[Finding]:
    """Whether torchvision was built for this torch: the same release, and the same kind of device.

    Args:
        torch: Version, such as ``'2.6.0+cu124'``.
        torchvision: Likewise.
    """
    wanted = f'{Version(torch).major - 2}.{Version(torch).minor + TORCHVISION_BEHIND}'
    if not torchvision.startswith(f'{wanted}.'):
        yield Finding(
            'torch and torchvision',
            BROKEN,
            f'torch {torch} goes with torchvision {wanted}, not {torchvision}: install both with one command',
        )
    builds = [re.sub(r'^[^+]*\+?', '', text) for text in (torch, torchvision)]
    if all(builds) and builds[0] != builds[1]:
        yield Finding(
            'torch and torchvision',
            BROKEN,
            f'torch is built for {builds[0]}, torchvision for {builds[1]}: install both with one command',
        )


def check_operators() -> Finding:
    """Whether torchvision's compiled operators load with this torch, and mmpretrain imports with all the others."""
    try:
        import torch
        import torchvision

        torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except Exception as error:  # noqa: BLE001  libraries of two builds fail in many ways
        return Finding('torchvision operators', BROKEN, f'do not load: {one_line(error)}')
    try:
        from vlpeft.quiet import import_mmpretrain

        import_mmpretrain()
    except Exception as error:  # noqa: BLE001
        return Finding('mmpretrain import', BROKEN, f'fails: {one_line(error)}')
    return Finding('imports', OK, 'torchvision with its operators, mmcv and mmpretrain')
