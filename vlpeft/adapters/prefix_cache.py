"""Caches of keys and values before which those of a prefix stand, for all samples alike.

What they keep of a text goes into the caller's cache, if it gave one, which never holds the prefix: it may be reordered
for beams, repeated and cut as any other. Without one they keep nothing, so that blocks can run twice.
"""

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, EncoderDecoderCache

#: Keys and values (H, P, E) of each layer.
Pairs = list[tuple[Tensor, Tensor]]


def _behind(pairs: Pairs, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    if not pairs:
        return keys, values
    return tuple(
        torch.cat([first.to(rest.dtype).expand(len(rest), -1, -1, -1), rest], 2)
        for first, rest in zip(pairs[layer], (keys, values))
    )


class PrefixCache(Cache):
    """A prefix before a self-attention's cache.

    Args:
        pairs: Of the prefix; empty for none.
        inner: The caller's cache, None if it gave none.

    Attributes:
        ahead: P.
        grows: Whether it keeps what passes.
    """

    def __init__(self, pairs: Pairs, inner: Cache | None) -> None:
        super().__init__(layers=[])
        self.pairs, self.inner = pairs, inner
        self.ahead = pairs[0][0].shape[-2] if pairs else 0
        self.grows = inner is not None

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, P + L, E) of the prefix and of the text with ``key_states`` and ``value_states``."""
        if self.inner is not None:
            key_states, value_states = self.inner.update(key_states, value_states, layer_idx, *args, **kwargs)
        return _behind(self.pairs, layer_idx, key_states, value_states)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Rows that are there, those of the prefix included."""
        return self.ahead + (0 if self.inner is None else self.inner.get_seq_length(layer_idx))

    def get_mask_sizes(self, new: Tensor | int, layer_idx: int) -> tuple[int, int]:
        """Keys that a call meets, and the index of the first; ``new`` rows, or their positions (transformers 4.57)."""
        return self.get_seq_length(layer_idx) + (new if isinstance(new, int) else len(new)), 0


class _NeverUpdated(dict):
    """Of each cross-attention whether its keys and values are kept: they are not."""

    def __setitem__(self, layer: int, value: bool) -> None:
        pass


class PrefixEncoderDecoderCache(EncoderDecoderCache):
    """A prefix before the self-attentions of a decoder; the cross-attentions are as without. Arguments and attributes
    as of :class:`PrefixCache`.
    """

    def __init__(self, pairs: Pairs, inner: EncoderDecoderCache | None) -> None:
        if inner is None:
            super().__init__(PrefixCache(pairs, None), PrefixCache([], None))
            self.is_updated = _NeverUpdated()
        else:
            super().__init__(PrefixCache(pairs, inner.self_attention_cache), inner.cross_attention_cache)
            self.is_updated = inner.is_updated
        self.inner, self.ahead, self.grows = inner, self.self_attention_cache.ahead, inner is not None


class PrefixSelfCache:
    """A prefix before the cache of vlpeft's BLIP. Arguments and attributes as of :class:`PrefixCache`."""

    def __init__(self, pairs: Pairs, inner) -> None:
        self.pairs, self.inner = pairs, inner
        self.ahead, self.grows = pairs[0][0].shape[-2], inner is not None

    def get_seq_length(self) -> int:
        """Rows that are there, those of the prefix included."""
        return self.ahead + (0 if self.inner is None else self.inner.get_seq_length())

    def extend(self, depth: int, new):
        """Keys and values of the prefix and of the text with those in ``new``."""
        whole = new if self.inner is None else self.inner.extend(depth, new)
        keys, values = _behind(self.pairs, depth, whole.key, whole.value)
        return whole._replace(key=keys, value=values)


def _new_dynamic(config) -> DynamicCache:
    return DynamicCache(config=config)


def _new_encoder_decoder(config) -> EncoderDecoderCache:
    return EncoderDecoderCache(DynamicCache(config=config), DynamicCache(config=config))


#: By the class that a tower keeps: the one with a prefix, and how the tower would make its own for a caller.
CACHES = dict(
    DynamicCache=(PrefixCache, _new_dynamic),
    EncoderDecoderCache=(PrefixEncoderDecoderCache, _new_encoder_decoder),
    SelfCache=(PrefixSelfCache, None),
)
