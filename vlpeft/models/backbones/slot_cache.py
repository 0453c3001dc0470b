"""A cache of keys and values for decoding behind a slot that changes with every token, and how far layers look back."""

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer


class SlotLayer(DynamicLayer):
    """Row 0 of what is added to a filled layer replaces its row 0; the others are appended."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, L, E) after adding ``key_states`` and ``value_states``."""
        if self.get_seq_length() == 0:
            return super().update(key_states, value_states, *args, **kwargs)
        self.keys, self.values = (
            torch.cat([new[:, :, :1], old[:, :, 1:], new[:, :, 1:]], 2)
            for old, new in ((self.keys, key_states), (self.values, value_states))
        )
        return self.keys, self.values


def slot_cache(depth: int, first: int) -> Cache:
    """An empty cache of ``depth`` layers; from layer ``first`` on each later pass starts with the slot's row."""
    return Cache(layers=[SlotLayer() if layer >= first else DynamicLayer() for layer in range(depth)])


def windows(config) -> list[int | None]:
    """How many rows, itself included, a row of each layer looks back to; None for all.

    Raises:
        ValueError: A layer looks back in another way.
    """
    if other := {*(getattr(config, 'layer_types', None) or ())} - {'full_attention', 'sliding_attention'}:
        raise ValueError(
            f'lm.model_type={config.model_type!r}: layers of {", ".join(sorted(other))} are not known here'
        )
    return [getattr(layer, 'sliding_window', None) for layer in DynamicCache(config=config).layers]
