"""The geometry of a language model, from a config, a directory or a hub name."""

import difflib
from collections.abc import Sequence

from vlpeft.models.hub import source_options


def lm_config(config: str | dict, vocab_size: int, families: Sequence[str]):
    """transformers' config of a language model.

    Args:
        config: Its entries with ``model_type``, or a directory or hub name whose ``config.json`` has them.
        vocab_size: Rows of the word embeddings, added tokens included.
        families: Values of ``model_type`` that there may be.

    Raises:
        ValueError: Another model type, or the directory or hub name cannot be found.
    """
    from transformers import AutoConfig

    if isinstance(config, str):
        options = source_options(config, 'language model', ('config.json',))
        geometry = AutoConfig.from_pretrained(config, vocab_size=vocab_size, trust_remote_code=False, **options)
    else:
        kind = config.get('model_type')
        if kind not in families:
            raise ValueError(f'lm.model_type={kind!r}; {_choices(kind, families)}')
        geometry = AutoConfig.for_model(**{**config, 'vocab_size': vocab_size})
    if geometry.model_type not in families:
        raise ValueError(f'{config!r} is a {geometry.model_type}; {_choices(geometry.model_type, families)}')
    return geometry


def _choices(kind: object, families: Sequence[str]) -> str:
    """The types that there may be, or of many the nearest."""
    near = families if len(families) < 10 else difflib.get_close_matches(str(kind), families, n=3) or families[:3]
    return f'choose from {", ".join(near)}{"" if near is families else ", …"}'
