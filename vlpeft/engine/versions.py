"""Which versions a run has, in one line, for logs and reports of errors."""

import platform
from importlib.metadata import PackageNotFoundError, version

from vlpeft.version import __version__

REPORTED = ('torch', 'mmengine', 'mmpretrain', 'transformers', 'peft')
#: Distributions of another name than their module.
DISTRIBUTIONS = dict(mmpretrain='onedl-mmpretrain')


def versions() -> str:
    """``'vlpeft 0.1.0, Python 3.11.2, torch 2.6.0, …'``."""
    found = [f'vlpeft {__version__}', f'Python {platform.python_version()}']
    return ', '.join([*found, *map(_told, REPORTED)])


def _told(name: str) -> str:
    for distribution in (DISTRIBUTIONS.get(name, name), name):
        try:
            return f'{name} {version(distribution)}'
        except PackageNotFoundError:
            continue
    return f'no {name}'
