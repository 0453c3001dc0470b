"""Logits of an image-text-to-text model at the counted positions alone: vocabularies have 150,000 to 260,000 rows.

transformers' ``logits_to_keep`` takes the same positions in all rows, and not every family has it. What enters the
output embeddings is cut instead, in whichever module these are.
"""

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any

from torch import Tensor, nn

from vlpeft.chat.encode import IGNORED

#: Model types that hide the answer from the prompt only where labels say that there is one.
MASKED_BY_LABELS = ('paligemma',)


def is_encoder_decoder(config) -> bool:
    """Whether the language model has an encoder and a decoder, by transformers' config of the whole."""
    return bool(getattr(config, 'is_encoder_decoder', False) or config.get_text_config().is_encoder_decoder)


def special_token(vlm: nn.Module, name: str) -> int | list[int] | None:
    """A special token by its name in transformers' configs, such as ``'pad_token_id'``; None if none has it."""
    sources = (vlm.generation_config, vlm.config.get_text_config(decoder=True), vlm.config)
    return next((found for source in sources if (found := getattr(source, name, None)) is not None), None)


def counted_logits(vlm: nn.Module, inputs: Mapping[str, Any], labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Next-token logits of the tokens that a loss counts.

    Args:
        vlm: transformers' model.
        inputs: What its processor makes of B samples, without labels.
        labels: (B, L) of the input, or of what an encoder-decoder is to write; ``IGNORED`` where nothing is counted.

    Returns:
        Logits (N, V), the tokens (N,) that they should give, and the row of the batch (N,) of each.

    Raises:
        ValueError: Labels of another shape than the tokens, or inputs lack what keeps the answer from the prompt.
    """
    inputs = dict(inputs)
    if is_encoder_decoder(vlm.config):
        wanted, counted = labels, labels != IGNORED
        inputs['decoder_input_ids'] = _shifted(vlm, labels)
    else:
        if labels.shape != inputs['input_ids'].shape:
            raise ValueError(
                f'labels are {tuple(labels.shape)}, input_ids {tuple(inputs["input_ids"].shape)}; each token has one'
            )
        wanted, counted = labels[:, 1:], labels != IGNORED
        counted = counted.roll(-1, 1)
        counted[:, -1] = False
        _check_token_types(vlm, inputs)
        if vlm.config.model_type in MASKED_BY_LABELS:
            inputs['labels'] = labels
            vlm.loss_function = _no_loss
    seen: list[tuple[int, ...]] = []

    def cut(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        (states,) = args
        seen.append(tuple(states.shape[:2]))
        # Another shape is said below, where no library is in between.
        return (states[counted][None] if seen[-1] == tuple(counted.shape) else states,)

    # The first of all hooks: methods that act on the output embeddings see the same tokens.
    handle = vlm.get_output_embeddings().register_forward_pre_hook(cut, prepend=True)
    try:
        logits = vlm(**inputs, use_cache=False).logits
    finally:
        handle.remove()
    if seen != [tuple(counted.shape)]:
        raise ValueError(
            f'{type(vlm).__name__} computes logits of {seen or "no"} tokens where labels are {tuple(counted.shape)}'
        )
    mask = labels != IGNORED if wanted is labels else wanted != IGNORED
    return logits[0], wanted[mask], mask.nonzero()[:, 0]


def _shifted(vlm: nn.Module, labels: Tensor) -> Tensor:
    """What a decoder reads to write the labels: its start token, then all of them but the last."""
    start, pad = (special_token(vlm, f'{name}_token_id') for name in ('decoder_start', 'pad'))
    ids = labels.roll(1, 1)
    ids[:, 0] = start
    return ids.masked_fill(ids == IGNORED, pad)


def _check_token_types(vlm: nn.Module, inputs: Mapping[str, Any]) -> None:
    if 'token_type_ids' in _arguments(type(vlm)) and inputs.get('token_type_ids') is None:
        raise ValueError(
            f'{type(vlm).__name__} tells answers, or images, from the rest by token_type_ids; the inputs hold only '
            + ', '.join(inputs)
        )


@cache
def _arguments(cls: type) -> frozenset[str]:
    return frozenset(inspect.signature(cls.forward).parameters)


def _no_loss(logits: Tensor, *_: Any, **__: Any) -> Tensor:
    """Stands for transformers' own loss, which would be over all positions."""
    return logits.new_zeros(())
