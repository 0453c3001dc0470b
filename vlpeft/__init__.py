"""vlpeft: parameter-efficient adaptation of large vision-language models.

Importing the package registers nothing heavy: each registry imports the package that fills it when a config first asks
for a type, and what ``vlpeft.apis`` offers is imported when it is first named.
"""

from . import checkpoint  # noqa: F401  registers the safe globals of MMEngine checkpoints
from .version import __version__

__all__ = ['RetrievalInferencer', '__version__', 'get_model', 'list_models']


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from . import apis

    return getattr(apis, name)
