"""What users call: the zoo (``list_models``, ``get_model``) and inferencers. Each is imported when first named."""

from importlib import import_module

_PLACES = dict(
    RetrievalInferencer='retrieval_inferencer', ZooError='model_index', get_model='build', list_models='model_index'
)

__all__ = list(_PLACES)


def __getattr__(name: str):
    if name not in _PLACES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(f'{__name__}.{_PLACES[name]}'), name)
