"""vlpeft: parameter-efficient adaptation of large vision-language models.

Importing the package imports nothing heavy: each registry imports the package that fills it when a config first asks
for a type, what ``vlpeft.apis`` offers is imported when it is first named, and MMEngine checkpoints are declared safe
to load when torch is imported, which a command such as ``vlpeft list`` does not need.
"""

from .after_import import import_with
from .version import __version__

__all__ = ['RetrievalInferencer', '__version__', 'get_model', 'list_models']

import_with('torch', 'vlpeft.checkpoint')


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from . import apis

    return getattr(apis, name)
