"""Multi-head attention of BLIP's text model: precomputed keys and values, one context for many queries."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vlpeft.sites import SiteError

MASKED = -10000.0


class KeyValue(NamedTuple):
    """Projected keys and values, each (C, heads, S, D / heads)."""

    key: Tensor
    value: Tensor


class Projected(list[KeyValue]):
    """Keys and values of each layer, and the ``states`` (C, S, Dc) that they are projections of."""

    def __init__(self, layers: Iterable[KeyValue], states: Tensor) -> None:
        super().__init__(layers)
        self.states = states

    def rows(self, rows: slice) -> 'Projected':
        """Those of some of the C contexts."""
        return Projected((KeyValue(kv.key[rows], kv.value[rows]) for kv in self), self.states[rows])


@dataclass(frozen=True)
class CrossContext:
    """What the cross-attentions of one pass attend to.

    Attributes:
        layers: Keys and values of each layer for C contexts (images or clips); what they are made of can be asked for
            where they are :class:`Projected`.
        index: (P,) context of each of P texts. Defaults to None: texts are grouped by context, P / C to each.
        mask: (C, S), 1 where a context token exists. Defaults to None, all exist.
        key_weights: (P, S) factors on the keys, per text. Defaults to None.
    """

    layers: list[KeyValue]
    index: Tensor | None = None
    mask: Tensor | None = None
    key_weights: Tensor | None = None

    def states(self) -> tuple[Tensor, Tensor | None]:
        """What keys and values are projections of, (P, S, Dc) or (C, S, Dc) without ``index``, and its mask.

        Raises:
            SiteError: They are not known.
        """
        if not isinstance(self.layers, Projected):
            raise SiteError('a method reads the states of a context, of which keys and values alone are given')
        states, mask = self.layers.states, self.mask
        if self.index is None:
            return states, mask
        return states[self.index], None if mask is None else mask[self.index]


def additive_mask(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """(…) of ones and zeros to (…) of 0 and -10000, BLIP's masked score."""
    return (1 - mask.to(dtype)) * MASKED


def attend(
    query: Tensor, kv: KeyValue, mask: Tensor | None = None, key_weights: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """softmax(Q (w ⊙ K)ᵀ / √d + mask) V, with P / C consecutive queries to each of C contexts.

    Args:
        query: (P, H, L, d).
        kv: Keys and values (C, H, S, d); C divides P.
        mask: Additive, broadcastable to (P, H, L, S); per context (C, 1, 1, S) where C < P. Defaults to None.
        key_weights: w, (P, S). Defaults to None.
        dropout: Rate on the attention weights. Defaults to 0.

    Returns:
        (P, H, L, d).
    """
    pairs, heads, length, dim = query.shape
    contexts = kv.key.shape[0]
    if contexts == pairs:
        key = kv.key if key_weights is None else kv.key * key_weights[:, None, :, None].to(kv.key.dtype)
        return F.scaled_dot_product_attention(query, key, kv.value, attn_mask=mask, dropout_p=dropout)
    group = pairs // contexts
    # The texts of one context become one long query, so its keys and values are never copied.
    folded = query.view(contexts, group, heads, length, dim).transpose(1, 2).reshape(contexts, heads, -1, dim)
    if key_weights is None:
        out = F.scaled_dot_product_attention(folded, kv.key, kv.value, attn_mask=mask, dropout_p=dropout)
    else:
        logits = (folded / math.sqrt(dim)) @ kv.key.transpose(-1, -2)
        logits = logits.view(contexts, heads, group, length, -1)
        logits = logits * key_weights.view(contexts, 1, group, 1, -1).to(logits.dtype)
        if mask is not None:
            logits = logits + mask[:, :, None]
        weights = F.dropout(logits.softmax(-1), dropout)
        out = weights.view(contexts, heads, group * length, -1) @ kv.value
    return out.view(contexts, heads, group, length, dim).transpose(1, 2).reshape(pairs, heads, length, dim)


class QueryKeyValue(nn.Module):
    """The three input projections, under BLIP's names."""

    def __init__(self, width: int, context_width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(context_width, width)
        self.value = nn.Linear(context_width, width)


class AddNorm(nn.Module):
    """LN(x + Dropout(W h)), the end of every post-norm branch.

    Args:
        in_features: Width of h.
        width: D.
        dropout: Rate.
    """

    def __init__(self, in_features: int, width: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(in_features, width)
        self.LayerNorm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(residual + self.dropout(self.dense(hidden)))


class PostNormAttention(nn.Module):
    """Attention branch of a BERT block, self or cross.

    Args:
        width: D.
        heads: Number of heads.
        context_width: Width of the states that keys and values come from.
        dropout: Rate on the attention weights and on the output.
    """

    def __init__(self, width: int, heads: int, context_width: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.self = QueryKeyValue(width, context_width)
        self.output = AddNorm(width, width, dropout)

    def _split(self, states: Tensor) -> Tensor:
        return states.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def project(self, states: Tensor) -> KeyValue:
        """Keys and values of ``states`` (C, S, Dc)."""
        return KeyValue(self._split(self.self.key(states)), self._split(self.self.value(states)))

    def forward(self, x: Tensor, kv: KeyValue, mask: Tensor | None = None, key_weights: Tensor | None = None) -> Tensor:
        """x (P, L, D) attends to ``kv``; see :func:`attend` for the rest."""
        dropout = self.dropout if self.training else 0.0
        out = attend(self._split(self.self.query(x)), kv, mask, key_weights, dropout)
        return self.output(out.transpose(1, 2).flatten(2), x)
