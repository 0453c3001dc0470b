r"""Ladder side-tuning: a small transformer beside the frozen one, fed by the outputs of its blocks.

    z ← W_0 e + c_0                                        e: the stream that enters the tower's first block
    z ← block_i(μ_i z + (1 - μ_i) (W_i b_i + c_i))         b_i: output of the tower's block i, without gradient
                                                           μ_i = sigmoid(α_i / T)
    output = W_up norm(z) + c_up                           in the place of the tower's own last state,
             or added to it (``output='add'``)

D is the tower's width, d = D / reduction that of z. A decoder's side blocks attend to the last z of the encoder's side
network. No gradient flows through the tower, so that nothing of its passes is kept for the backward pass.

Sung, Cho and Bansal, "LST: Ladder Side-Tuning for Parameter and Memory Efficient Transfer Learning", NeurIPS 2022.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from vlpeft.registry import ADAPTERS
from vlpeft.sites import Binding, SiteError, Tap, Targets, Tower

from .base import Adapter
from .bottleneck_layer import GELU, check_choice, check_size, draw_normal, zero
from .side_block import CachedSide, SideBlock, seen_by, visible

ENCODER, DECODER = 'encoder', 'decoder'
OUTPUTS = ('replace', 'add')


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
            context, context_mask = context.states()
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


@ADAPTERS.register_module()
class LST(Adapter):
    """Ladder side-tuning of whole towers; the defaults are those released for T5-base, but for its first weights.

    Args:
        towers: The frozen backbones by name.
        targets: Arguments of :class:`vlpeft.sites.Targets` but ``kinds`` and ``linears``: which towers, and which of
            their blocks have one in the side network. Defaults to None, all.
        reduction: D / d. Defaults to 4.
        heads: Of the side attentions, of d / heads dimensions each. Defaults to 12.
        ffn_ratio: Width in the middle of the side FFNs, in d. Defaults to 4.
        output: ``'replace'``: the side network's output takes the place of the tower's last state, as in the paper;
            ``'add'``: it is added to it, and starts at zero. Defaults to ``'replace'``.
        temperature: T. Defaults to 0.1.
        bias: Whether the maps in side blocks have a bias. Defaults to True.
        act_cfg: Activation of the side FFNs. Defaults to the tanh form of GELU.
        dropout: Rate on the stream that enters and on the branches of side blocks. Defaults to 0.1.

    Raises:
        SiteError: The targets name what does not exist, kinds or linear maps, or a tower of packed tokens.
        ValueError: ``reduction`` does not divide the width of a tower, or ``heads`` that of its side network.
    """

    # The state of the encoder's side network passes beside the encoder's own, in a wider tensor.
    rows_independent = False

    def __init__(
        self,
        towers: Mapping[str, Tower],
        targets: dict | None = None,
        reduction: int = 4,
        heads: int = 12,
        ffn_ratio: int = 4,
        output: str = 'replace',
        temperature: float = 0.1,
        bias: bool = True,
        act_cfg: Mapping = GELU,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(towers)
        check_choice('LST', 'output', output, OUTPUTS)
        for option, value in dict(reduction=reduction, heads=heads, ffn_ratio=ffn_ratio).items():
            check_size(option, value)
        depths = self._depths(towers, targets or {})
        joined = ENCODER in depths and DECODER in depths and self._crosses(towers[DECODER])
        self.networks = nn.ModuleDict()
        for name, own in depths.items():
            tower = towers[name]
            width, rest = divmod(tower.width, reduction)
            if rest or width % heads:
                raise ValueError(
                    f'LST: reduction={reduction} and heads={heads} do not divide {tower.width}, the width of tower '
                    f'"{name}"'
                )
            context = None
            if self._crosses(tower):
                full = tower.blocks[0].sublayers['cross_attn'].linears['k'].in_features
                context = (full, towers[ENCODER].width // reduction) if joined else (0, full)
            self.networks[name] = SideNetwork(
                tower,
                own,
                width,
                context,
                None if joined and name == ENCODER else output,
                temperature,
                dropout,
                hidden=ffn_ratio * width,
                heads=heads,
                bias=bias,
                act_cfg=act_cfg,
            )

    @staticmethod
    def _crosses(tower: Tower) -> bool:
        return 'cross_attn' in tower.blocks[0].sublayers

    @staticmethod
    def _depths(towers: Mapping[str, Tower], targets: Mapping) -> dict[str, list[int]]:
        named = [option for option in ('kinds', 'linears') if targets.get(option) is not None]
        if named:
            raise SiteError(f'LST reads whole blocks; its targets cannot name {named[0]}')
        found: dict[str, dict[int, None]] = {}
        for tower, depth, _ in Targets(**targets).sublayers(towers, 'LST'):
            if tower.packed:
                raise SiteError(
                    f'LST: the stream of tower "{tower.name}" is packed, so its side attentions would mix samples'
                )
            found.setdefault(tower.name, {})[depth] = None
        return {name: list(depths) for name, depths in found.items()}

    def bindings(self, towers: Mapping[str, Tower]) -> Iterator[Binding]:
        for name, network in self.networks.items():
            tower = towers[name]
            path = tower.final_norm or f'{tower.block_path}.{len(tower.blocks) - 1}'
            # Before the cuts, so that it reads what they cut off with its gradient.
            yield Binding(
                name,
                None,
                tuple(network.reads.values()),
                Tap(path, 'output'),
                network.edit,
                changes_width=network.up is None,
            )
            yield Binding(name, 0, (), network.reads['stream'], Cut().cut)
            for block in tower.blocks if self._crosses(tower) else ():
                linears = block.sublayers['cross_attn'].linears
                for site in (linears['k'], linears['v']):
                    cut = Cut(site.in_features).cut
                    yield Binding(name, block.depth, (), site.input, cut, changes_width=True)

    def role_of(self, name: str) -> str:
        return 'gate' if name.endswith('.gates') else 'adapter'
