"""The side network of a tower: small blocks on a ladder of the outputs of the tower's."""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vlpeft.sites import SiteError, Tap, Tower

from .bottleneck_layer import draw_normal, zero
from .side_block import CachedSide, SideBlock, seen_by, visible


class Cut(nn.Module):
    """Keeps gradients out of a tower.

    Args:
        width: Of what the tower itself reads of a context. None for all.
    """

    def __init__(self, width: int | None = None) -> None:
        super().__init__()
        self.width = width

    def cut(self, value: Tensor) -> Tensor:
        """``value`` (…, width or more) without gradient, its first dimensions alone."""
        return value.detach()[..., : self.width]


class SideNetwork(nn.Module):
    """The side network of a tower.

    Args:
        tower: The tower.
        depths: The blocks that it has a block for.
        width: d.
        context: Where the width of a context's part begins that its cross-attentions read, and how wide that is. None
            where it has none.
        up: What becomes of the last z: ``'replace'``, ``'add'``, or None: it goes to the decoder's side network.
        temperature: T.
        dropout: Rate on the stream that enters and on the branches.
        **block: Further arguments of :class:`SideBlock`.
    """

    def __init__(
        self,
        tower: Tower,
        depths: Sequence[int],
        width: int,
        context: tuple[int, int] | None,
        up: str | None,
        temperature: float,
        dropout: float,
        **block,
    ) -> None:
        super().__init__()
        self.depths, self.causal, self.count = tuple(depths), tower.causal, len(tower.blocks)
        self.temperature, self.mode = temperature, up
        self.context_start, self.context_width = context or (0, None)
        self.reads = self._taps(tower, context is not None)
        self.first = nn.Linear(tower.width, width)
        self.downs = nn.ModuleList(nn.Linear(tower.width, width) for _ in depths)
        self.gates = nn.Parameter(torch.zeros(len(depths)))
        self.blocks = nn.ModuleList(
            SideBlock(width, context_width=self.context_width, dropout=dropout, **block) for _ in depths
        )
        self.norm = nn.LayerNorm(width)
        self.up = None if up is None else nn.Linear(width, tower.width)
        self.dropout = nn.Dropout(dropout)
        draw_normal(self)
        if up == 'add':
            zero(self.up)

    def _taps(self, tower: Tower, crosses: bool) -> dict[str, Tap]:
        path, block = tower.block_path, tower.blocks[0]
        cross = block.sublayers['cross_attn'] if crosses else None
        taps = dict(
            stream=Tap(f'{path}.0', 'input', 'hidden_states'),
            mask=block.mask,
            cache=tower.cache,
            context=cross and cross.context,
            context_mask=cross and cross.context_mask,
        )
        taps.update({f'block_{depth}': Tap(f'{path}.{depth}', 'output') for depth in self.depths})
        return {name: tap for name, tap in taps.items() if tap is not None}

    def edit(self, last: Tensor, *read: Tensor | object | None) -> Tensor:
        """What leaves the tower instead of its own last state ``last`` (B, L, D)."""
        z = self.norm(self(**dict(zip(self.reads, read))))
        if self.mode is None:
            return torch.cat([last.detach(), z.to(last.dtype)], -1)
        out = self.up(z)
        return out if self.mode == 'replace' else last.detach() + out

    def forward(
        self,
        stream: Tensor | None,
        mask: Tensor | None = None,
        cache: object | None = None,
        context: Tensor | object | None = None,
        context_mask: Tensor | None = None,
        **outputs: Tensor | None,
    ) -> Tensor:
        """The last z (B, L, d).

        Raises:
            SiteError: The pass has not been through all of the blocks, as when a part of the tower is recomputed, or
                the cache or the context is of a pass without the side network.
        """
        shapes = [None if tensor is None else tensor.shape for tensor in (stream, *outputs.values())]
        if None in shapes or len(set(shapes)) > 1:
            raise SiteError(
                'the side network of LST needs the outputs of all blocks of one pass, of as many tokens as enter; do '
                'not recompute blocks (gradient checkpointing): nothing of them is kept for the backward pass'
            )
        kept = None if cache is None else CachedSide(cache, self.count)
        z = self.dropout(self.first(stream))
        if context is not None and not isinstance(context, Tensor):
            context, context_mask = context.states(len(z))
        if context is not None:
            context = self._own_part(context).to(z.dtype)
        allowed = visible(mask, z, z.shape[1] if kept is None else kept.columns, self.causal)
        context_allowed = None if context_mask is None else seen_by(context_mask, context.shape[1])
        for i, (gate, down, block) in enumerate(zip(self.gates, self.downs, self.blocks)):
            mix = torch.sigmoid(gate / self.temperature)
            z = mix * z + (1 - mix) * down(outputs[f'block_{self.depths[i]}'].detach())
            extend = None if kept is None else functools.partial(kept.extend, i)
            z = block(z, allowed, context, context_allowed, extend)
        return z

    def _own_part(self, context: Tensor) -> Tensor:
        own = context[..., self.context_start :]
        if own.shape[-1] != self.context_width:
            raise SiteError(
                f'the context is {context.shape[-1]} wide instead of {self.context_start + self.context_width}: the '
                'encoder ran without the side network of LST'
            )
        return own
