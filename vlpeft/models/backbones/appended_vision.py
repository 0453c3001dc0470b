"""Encoders of transformers that read vision tokens after the text: ``[text, vision]``.

Vision tokens get neither BART's positions nor its embedding norm, and in T5 every pair of tokens that involves one has
a relative position bias of zero. The encoders' code stays as it is: BART's embedding norm is followed by the vision
tokens, T5's first block is handed its bias.
"""

from typing import Any

import torch
from torch import Tensor, nn

from .seq2seq_lm import given


class _BartReader:
    """Puts what is set as ``vision`` in the place of the last rows that pass the embedding norm. That they are among
    the embeddings before gives them their part of the masks; of positions only the text's are looked up.
    """

    def __init__(self, encoder: nn.Module) -> None:
        self.encoder = encoder
        self.vision: Tensor | None = None
        encoder.embed_positions.register_forward_pre_hook(self._text_alone)
        encoder.embed_positions.register_forward_hook(self._with_zeros)
        encoder.layernorm_embedding.register_forward_hook(self._append)

    def _text_alone(self, module: nn.Module, args: tuple) -> tuple | None:
        return None if self.vision is None else (args[0][:, : -self.vision.shape[1]], *args[1:])

    def _with_zeros(self, module: nn.Module, args: tuple, output: Tensor) -> Tensor | None:
        return None if self.vision is None else nn.functional.pad(output, (0, 0, 0, self.vision.shape[1]))

    def _append(self, module: nn.Module, args: tuple, output: Tensor) -> Tensor | None:
        if self.vision is None:
            return None
        return torch.cat([output[:, : -self.vision.shape[1]], self.vision.to(output.dtype)], 1)

    def __call__(self, ids: Tensor, vision: Tensor, mask: Tensor) -> Tensor:
        self.vision = vision
        embeddings = nn.functional.pad(self.encoder.embed_tokens(ids), (0, 0, 0, vision.shape[1]))
        try:
            return self.encoder(inputs_embeds=embeddings, attention_mask=given(mask)).last_hidden_state
        finally:
            self.vision = None


class _T5Reader:
    """Hands the first block its bias and mask, computed for all rows but those of ``vision``, which are the last."""

    def __init__(self, encoder: nn.Module) -> None:
        self.encoder = encoder
        self.vision: int | None = None
        encoder.block[0].register_forward_pre_hook(self._add_bias, with_kwargs=True)

    def _add_bias(self, block: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict] | None:
        if self.vision is None:
            return None
        states, mask, _, *rest = args
        attention = block.layer[0].SelfAttention
        length = states.shape[1] - self.vision
        text = attention.compute_bias(length, length, device=states.device)
        bias = nn.functional.pad(text, (0, self.vision, 0, self.vision))
        # Until transformers 4.57 a bias that is given is taken as it is, so the mask goes into it; in 5, where
        # attentions know their scaling, both are added.
        if not hasattr(attention, 'scaling'):
            bias = bias + mask
        return (states, mask, bias.to(states.dtype), *rest), kwargs

    def __call__(self, ids: Tensor, vision: Tensor, mask: Tensor) -> Tensor:
        self.vision = vision.shape[1]
        words = self.encoder.embed_tokens(ids)
        try:
            embeddings = torch.cat([words, vision.to(words.dtype)], 1)
            return self.encoder(inputs_embeds=embeddings, attention_mask=given(mask)).last_hidden_state
        finally:
            self.vision = None


READERS = dict(bart=_BartReader, t5=_T5Reader)


class AppendedVision:
    """Runs the encoder of a language model on text and vision.

    Args:
        lm: What :func:`build_seq2seq_lm` returns.
    """

    def __init__(self, lm: nn.Module) -> None:
        self.reader = READERS[lm.config.model_type](lm.get_encoder())

    def __call__(self, ids: Tensor, mask: Tensor, vision: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes B texts and their vision tokens.

        Args:
            ids, mask: Token ids and mask of the texts (B, L).
            vision: (B, S, D), all of them real.

        Returns:
            States (B, P + L + S, D) and their mask, where P is how many rows a method puts before the texts.
        """
        whole = torch.cat([mask, mask.new_ones(vision.shape[:2])], 1)
        states = self.reader(ids, vision, whole)
        return states, nn.functional.pad(whole, (states.shape[1] - whole.shape[1], 0), value=1)
