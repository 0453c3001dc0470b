"""One small transformer block of a side network: attention, cross-attention and FFN behind norms, without positions."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vlpeft.sites import SiteError

from .bottleneck_layer import activation_of, check_rate

Extend = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def visible(mask: Tensor | None, x: Tensor, columns: int, causal: bool) -> Tensor | None:
    """Which of ``columns`` tokens each token of ``x`` (B, L, d) may see, the last L of them being those of x.

    Args:
        mask: As in :class:`vlpeft.sites.Block`, or (B, columns), nonzero where a token is real.
        x: Queries.
        columns: Keys, those of former passes included.
        causal: Whether a token sees none of its successors.

    Returns:
        True where it may, to broadcast with (B, heads, L, columns); None where it may see all.
    """
    rows, allowed = x.shape[1], None if mask is None else seen_by(mask, columns)
    if causal:
        triangle = torch.ones(rows, columns, dtype=torch.bool, device=x.device).tril(columns - rows)
        allowed = triangle if allowed is None else allowed & triangle
    if allowed is None:
        return None
    # Padding on the left sees nothing; a softmax needs something to see.
    own = torch.ones(rows, columns, dtype=torch.bool, device=x.device)
    return allowed | (own.tril(columns - rows) & own.triu(columns - rows))


def seen_by(mask: Tensor, columns: int) -> Tensor:
    """A mask of any form, see :func:`visible`, as booleans over the first ``columns`` tokens."""
    if mask.ndim == 2:
        mask = mask[:, None, None] != 0
    return (mask if mask.dtype == torch.bool else mask > -1)[..., :columns]


class CachedSide:
    """Keeps a side network's keys and values behind those of the tower, in the same cache, so that whatever reorders,
    repeats or crops the one does so with the other.

    Args:
        cache: Of transformers, or one with ``extend(layer, entry)``.
        first: Index of the first layer that is the side network's.
    """

    def __init__(self, cache: object, first: int) -> None:
        self.cache, self.first = getattr(cache, 'self_attention_cache', cache), first

    @property
    def columns(self) -> int:
        """Tokens that the tower's first block has kept, those of this pass included."""
        first = self.cache.layers[0]
        return getattr(first, 'keys', getattr(first, 'key', None)).shape[-2]

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values (B, heads, columns, d / heads) after these, of a block of the side network.

        Raises:
            SiteError: The cache is of a kind that cannot grow by layers, or the tower has passes in it that the side
                network has not seen.
        """
        layers, index = self.cache.layers, self.first + layer
        kind = type(layers[0]).__name__
        if kind == 'DynamicLayer':
            while len(layers) <= index:
                layers.append(type(layers[0])())
            key, value = layers[index].update(key, value)
        elif hasattr(self.cache, 'extend'):
            key, value = self.cache.extend(index, type(layers[0])(key, value))
        else:
            raise SiteError(
                f'LST cannot keep keys and values in a cache of {kind}; use a DynamicCache, or use_cache=False'
            )
        if key.shape[-2] != self.columns:
            raise SiteError(
                f'the cache holds {self.columns} tokens, of which the side network of LST has seen {key.shape[-2]}; '
                'begin with an empty cache when LST acts'
            )
        return key, value


class SideAttention(nn.Module):
    """Multi-head attention of width d.

    Args:
        width: d.
        context_width: Width of what keys and values are made of.
        heads: They divide d.
        bias: Whether the maps but that of the keys have a bias; one of the keys would change nothing.
    """

    def __init__(self, width: int, context_width: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width, bias=bias)
        self.k = nn.Linear(context_width, width, bias=False)
        self.v = nn.Linear(context_width, width, bias=bias)
        self.o = nn.Linear(width, width, bias=bias)

    def _split(self, states: Tensor) -> Tensor:
        return states.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x: Tensor, states: Tensor, allowed: Tensor | None, extend: Extend | None = None) -> Tensor:
        """x (B, L, d) sees ``states`` (B, S, context_width), and what ``extend`` has kept of former passes."""
        key, value = self._split(self.k(states)), self._split(self.v(states))
        if extend is not None:
            key, value = extend(key, value)
        out = F.scaled_dot_product_attention(self._split(self.q(x)), key, value, attn_mask=allowed)
        return self.o(out.transpose(1, 2).flatten(2))


class SideBlock(nn.Module):
    """x + attention, + cross-attention where there is a context, + FFN, each of the normed stream.

    Args:
        width: d.
        hidden: Width in the middle of the FFN.
        heads: They divide d.
        context_width: Width of the context. None for a block without cross-attention.
        bias: Whether linear maps have a bias.
        act_cfg: Activation of the FFN.
        dropout: Rate on each branch.
    """

    def __init__(
        self,
        width: int,
        hidden: int,
        heads: int,
        context_width: int | None,
        bias: bool,
        act_cfg: Mapping,
        dropout: float,
    ) -> None:
        super().__init__()
        self.norm_self = nn.LayerNorm(width)
        self.self_attn = SideAttention(width, width, heads, bias)
        if context_width is not None:
            self.norm_cross = nn.LayerNorm(width)
            self.cross_attn = SideAttention(width, context_width, heads, bias)
        self.norm_ffn = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, hidden, bias=bias)
        self.activation = activation_of(act_cfg)
        self.fc2 = nn.Linear(hidden, width, bias=bias)
        check_rate('dropout', dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        allowed: Tensor | None,
        context: Tensor | None = None,
        context_allowed: Tensor | None = None,
        extend: Extend | None = None,
    ) -> Tensor:
        """x (B, L, d); ``context`` (C, S, context_width), B / C consecutive samples to each; masks as of
        :func:`visible`, that of the context to broadcast with (C, 1, L or 1, S).
        """
        normed = self.norm_self(x)
        x = x + self.dropout(self.self_attn(normed, normed, allowed, extend))
        if context is not None:
            # Samples of one context become one long one: what they do not see of each other they do not see here.
            folded = self.norm_cross(x).reshape(len(context), -1, x.shape[-1])
            x = x + self.dropout(self.cross_attn(folded, context, context_allowed)).view_as(x)
        return x + self.dropout(self.fc2(self.activation(self.fc1(self.norm_ffn(x)))))
