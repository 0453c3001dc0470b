"""vlpeft: parameter-efficient adaptation of large vision-language models.

Importing the package imports nothing heavy: each registry imports the package that fills it when a config first asks
for a type, what ``_LAZY`` lists is imported when it is first named, and MMEngine checkpoints are declared safe to load
when torch is imported, which a command such as ``vlpeft list`` does not need.
"""

from importlib import import_module

from .after_import import import_with
from .version import __version__

#: Where each name of the package comes from, imported when it is first asked for; a subpackage comes from itself.
_LAZY = dict(
    CaptionInferencer='vlpeft.apis',
    ChatInferencer='vlpeft.apis',
    RetrievalInferencer='vlpeft.apis',
    VQAInferencer='vlpeft.apis',
    attach='vlpeft.adaptation',
    find_towers='vlpeft.sites',
    get_model='vlpeft.apis',
    list_models='vlpeft.apis',
    load_adapter='vlpeft.adaptation',
    lora_plus='vlpeft.adaptation',
    sites='vlpeft.sites',
    testing='vlpeft.testing',
)
__all__ = [
    'CaptionInferencer',
    'ChatInferencer',
    'RetrievalInferencer',
    'VQAInferencer',
    '__version__',
    'attach',
    'find_towers',
    'get_model',
    'list_models',
    'load_adapter',
    'lora_plus',
]

import_with('torch', 'vlpeft.checkpoint')
import_with('mmpretrain.utils.dependency', 'vlpeft.compat', 'leave_out_multimodal')


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    module = import_module(_LAZY[name])
    return module if module.__name__ == f'{__name__}.{name}' else getattr(module, name)
