"""Multi-head attention of BLIP's text model: precomputed keys and values, one context for many queries."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vlpeft.sites import SiteError

MASKED = -10000.0
#: Attention weights that are held at a time where keys have factors: on a CPU they then stay in its cache.
CPU_WEIGHTS = 2**21


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
        index: (P,) context of each of P texts; keys and values are copied for each. Defaults to None: texts are grouped
            by context.
        mask: (C, S), 1 where a context token exists. Defaults to None, all exist.
        key_weights: (P, S) factors on the keys, per text. Defaults to None.
        counts: Without ``index``, how many consecutive texts belong to each of the C contexts; 0 is possible. Defaults
            to None, P / C to each.
    """

    layers: list[KeyValue]
    index: Tensor | None = None
    mask: Tensor | None = None
    key_weights: Tensor | None = None
    counts: Sequence[int] | None = None

    def states(self, texts: int) -> tuple[Tensor, Tensor | None]:
        """What keys and values are projections of, and its mask: for each of P ``texts``, or once if all have one.

        Returns:
            (P, S, Dc) and (P, S), or (1, S, Dc) and (1, S).

        Raises:
            SiteError: They are not known.
        """
        if not isinstance(self.layers, Projected):
            raise SiteError('a method reads the states of a context, of which keys and values alone are given')
        states, mask, index = self.layers.states, self.mask, self.index
        contexts = len(states)
        if index is None and contexts > 1 and (self.counts is not None or contexts < texts):
            counts = torch.tensor([texts // contexts] * contexts if self.counts is None else self.counts)
            index = torch.arange(contexts).repeat_interleave(counts).to(states.device)
        if index is None:
            return states, mask
        return states[index], None if mask is None else mask[index]


def additive_mask(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """(…) of ones and zeros to (…) of 0 and -10000, BLIP's masked score."""
    return (1 - mask.to(dtype)) * MASKED


def attend(
    query: Tensor,
    kv: KeyValue,
    mask: Tensor | None = None,
    key_weights: Tensor | None = None,
    dropout: float = 0.0,
    counts: Sequence[int] | None = None,
) -> Tensor:
    """softmax(Q (w ⊙ K)ᵀ / √d + mask) V, with consecutive queries to each of C contexts.

    Args:
        query: (P, H, L, d).
        kv: Keys and values (C, H, S, d).
        mask: Additive, broadcastable to (P, H, L, S); per context (C, 1, 1, S) where C < P. Defaults to None.
        key_weights: w, (P, S). Defaults to None.
        dropout: Rate on the attention weights. Defaults to 0.
        counts: Queries of each context. Defaults to None: P / C, a whole number.

    Returns:
        (P, H, L, d).
    """
    pairs, heads, length, dim = query.shape
    contexts = kv.key.shape[0]
    if counts is not None and len(set(counts)) > 1:
        parts = _by_context(query, kv, mask, key_weights, counts)
        return torch.cat([attend(*part, dropout) for part in parts])
    if contexts == pairs:
        key = kv.key if key_weights is None else kv.key * key_weights[:, None, :, None].to(kv.key.dtype)
        return F.scaled_dot_product_attention(query, key, kv.value, attn_mask=mask, dropout_p=dropout)
    # The texts of one context become one long query, so its keys and values are never copied.
    grouped = query.view(contexts, -1, heads, length, dim).transpose(1, 2)
    if key_weights is None:
        folded = grouped.reshape(contexts, heads, -1, dim)
        out = F.scaled_dot_product_attention(folded, kv.key, kv.value, attn_mask=mask, dropout_p=dropout)
        out = out.view(grouped.shape)
    else:
        factors = key_weights.view(contexts, 1, -1, 1, kv.key.shape[2])
        each = contexts * heads * length * kv.key.shape[2]
        texts = max(1, CPU_WEIGHTS // each) if query.device.type == 'cpu' else pairs
        parts = zip(grouped.split(texts, 2), factors.split(texts, 2))
        out = torch.cat([_weighted(part, kv, mask, factor, dropout) for part, factor in parts], 2)
    return out.transpose(1, 2).reshape(query.shape)


def _by_context(
    query: Tensor, kv: KeyValue, mask: Tensor | None, key_weights: Tensor | None, counts: Sequence[int]
) -> Iterator[tuple]:
    """The first arguments of :func:`attend` for each context that has queries."""
    start = 0
    for row, count in enumerate(counts):
        mine, own = slice(start, start + count), slice(row, row + 1)
        start += count
        if count:
            yield (
                query[mine],
                KeyValue(kv.key[own], kv.value[own]),
                None if mask is None else mask[own],
                None if key_weights is None else key_weights[mine],
            )


def _weighted(grouped: Tensor, kv: KeyValue, mask: Tensor | None, factors: Tensor, dropout: float) -> Tensor:
    """Attention of queries (C, H, g, L, d) with ``factors`` (C, 1, g, 1, S) on the keys."""
    logits = (grouped.flatten(2, 3) / math.sqrt(grouped.shape[-1])) @ kv.key.transpose(-1, -2)
    logits = logits.unflatten(2, grouped.shape[2:4])
    factors = factors.to(logits.dtype)
    logits = logits * factors if torch.is_grad_enabled() else logits.mul_(factors)
    if mask is not None:
        logits = logits + mask[:, :, None]
    weights = F.dropout(logits.softmax(-1), dropout)
    return (weights.flatten(2, 3) @ kv.value).unflatten(2, grouped.shape[2:4])


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

    def forward(
        self,
        x: Tensor,
        kv: KeyValue,
        mask: Tensor | None = None,
        key_weights: Tensor | None = None,
        counts: Sequence[int] | None = None,
    ) -> Tensor:
        """x (P, L, D) attends to ``kv``; see :func:`attend` for the rest."""
        dropout = self.dropout if self.training else 0.0
        out = attend(self._split(self.self.query(x)), kv, mask, key_weights, dropout, counts)
        return self.output(out.transpose(1, 2).flatten(2), x)
