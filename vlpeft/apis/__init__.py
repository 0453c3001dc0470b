"""What users call: the zoo (``list_models``, ``get_model``) and inferencers. Each is imported when first named."""

from importlib import import_module

_PLACES = dict(
    CaptionInferencer='vlpeft.apis.caption_inferencer',
    ChatInferencer='vlpeft.apis.chat_inferencer',
    RetrievalInferencer='vlpeft.apis.retrieval_inferencer',
    VQAInferencer='vlpeft.apis.vqa_inferencer',
    ZooError='vlpeft.zoo.folder',
    get_model='vlpeft.apis.build',
    list_models='vlpeft.zoo.model_index',
)

__all__ = list(_PLACES)


def __getattr__(name: str):
    if name not in _PLACES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(_PLACES[name]), name)
