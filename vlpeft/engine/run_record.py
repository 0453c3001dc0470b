"""What a checkpoint says about the run that wrote it: versions, code, processes, parameters, and the data by hash.

A model card is written from it (``vlpeft publish``), perhaps years later and on another machine, so that it tells what
was and not what is. It names no machine, no person and no folder.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.dist import get_world_size
from mmengine.runner import BaseLoop

from vlpeft.checkpoint.hashing import file_sha256
from vlpeft.models.parameters import count_parameters
from vlpeft.models.tasks.base import AdaptedModel
from vlpeft.zoo.folder import ZooError, zoo_root

from .task_model import task_model
from .versions import numbers

#: Its place in the ``meta`` of a checkpoint.
KEY = 'run'
#: Annotation files of more bytes are not hashed: reading them would hold up the run.
LARGEST = 256 << 20
GIT_SECONDS = 10
#: For git, all files but those of docs.
CODE = ('--', ':/', ':(exclude,top)docs')


def run_record(runner) -> dict[str, Any]:
    """What is known of a run, as JSON holds it.

    Returns:
        ``versions``: library -> version. ``code``: commit of the checkout that vlpeft runs from and whether files
        differ from it, None without one. ``processes``. ``parameters``: trained and total, None for models that are
        not of vlpeft. ``data``: ``train`` and ``val`` -> a record for each set.
    """
    model = task_model(runner)
    counts = count_parameters(model) if isinstance(model, AdaptedModel) else None
    return dict(
        versions=numbers(),
        code=code_state(),
        processes=get_world_size(),
        parameters=counts and dict(trained=counts['trainable'], total=counts['total']),
        data=dict(train=list(_sets(runner._train_loop)), val=list(_sets(runner._val_loop))),
    )


def code_state(folder: Path | None = None) -> dict[str, Any] | None:
    """Commit of a checkout, and whether files that it knows differ from it.

    Args:
        folder: Root of the checkout. Defaults to None: that of vlpeft itself.

    Returns:
        ``commit`` (40 digits) and ``dirty``; None for an installed package, or without git. What lies in ``docs``, the
        records of studies among it, changes no run and does not count.
    """
    if folder is None:
        try:
            folder = zoo_root()
        except ZooError:
            return None
    if not (folder / '.git').exists():
        return None
    commit, changes = (
        _git(folder, *arguments) for arguments in (('rev-parse', 'HEAD'), ('status', '--porcelain', '-uno', *CODE))
    )
    return None if commit is None or changes is None else dict(commit=commit, dirty=bool(changes))


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ['git', '-C', str(folder), *arguments], capture_output=True, text=True, timeout=GIT_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout.strip()


def _sets(loop) -> Iterator[dict[str, Any]]:
    """``type``, ``samples``, ``file`` and ``sha256`` of each set of a loop that is built."""
    if not isinstance(loop, BaseLoop):
        return
    loaders = getattr(loop.dataloader, 'loaders', None) or {None: loop.dataloader}
    for task, loader in loaders.items():
        for dataset in _plain_sets(loader.dataset):
            record = dict(type=type(dataset).__name__, samples=len(dataset), **_file(dataset))
            yield record if task is None else dict(record, task=str(task))


def _plain_sets(dataset) -> Iterator[Any]:
    """The sets inside of wrappers, such as those that join or repeat."""
    inner = getattr(dataset, 'datasets', None) or [item for item in [getattr(dataset, 'dataset', None)] if item]
    if not inner:
        yield dataset
    for one in inner:
        yield from _plain_sets(one)


def _file(dataset) -> dict[str, Any]:
    """Name of a set's annotation file below its root, and hash; nothing where it has none."""
    name = getattr(dataset, 'ann_file', '')
    path = Path(name) if isinstance(name, str) and name else None
    if path is None or not path.is_file():
        return {}
    root = Path(getattr(dataset, 'data_root', '') or path.parent)
    told = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
    digest = file_sha256(path) if path.stat().st_size <= LARGEST else None
    return dict(file=told.as_posix(), sha256=digest)
