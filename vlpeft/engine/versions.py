"""Which versions a run has: in one line, for logs and reports of errors, and by name."""

import platform
from importlib.metadata import PackageNotFoundError, version

from vlpeft.version import __version__

REPORTED = ('torch', 'mmengine', 'mmpretrain', 'transformers', 'peft')
#: Distributions of another name than their module.
DISTRIBUTIONS = dict(mmpretrain='onedl-mmpretrain')


def versions() -> str:
    """``'vlpeft 0.1.0, Python 3.11.2, torch 2.6.0, …'``."""
    found = [f'vlpeft {__version__}', f'Python {platform.python_version()}']
    return ', '.join([*found, *(f'{name} {_version(name)}' if _version(name) else f'no {name}' for name in REPORTED)])


def numbers() -> dict[str, str]:
    """Versions by name, without those that are not installed."""
    found = {name: _version(name) for name in REPORTED}
    return dict(vlpeft=__version__, python=platform.python_version()) | {
        name: number for name, number in found.items() if number
    }


def _version(name: str) -> str | None:
    for distribution in (DISTRIBUTIONS.get(name, name), name):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return None
