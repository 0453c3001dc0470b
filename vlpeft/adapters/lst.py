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

from collections.abc import Iterator, Mapping

from torch import nn

from vlpeft.registry import ADAPTERS
from vlpeft.sites import Binding, SiteError, Tap, Targets, Tower

from .base import Adapter
from .bottleneck_layer import GELU, check_choice, check_size
from .side_network import Cut, SideNetwork

OUTPUTS = ('replace', 'add')


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
        if not temperature > 0:
            raise ValueError(f'LST: temperature={temperature!r}; it is a number above 0')
        depths = self._depths(towers, targets or {})
        read = [name for name in depths if towers[name].entrance is not None and towers[name].entrance.is_read]
        # Of one encoder that decoders attend to: whose side network they attend to then.
        encoder = read[0] if len(read) == 1 and any(self._crosses(towers[name]) for name in depths) else None
        self.cut_towers = tuple(depths)
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
                context = (0, full) if encoder is None else (full, towers[encoder].width // reduction)
            self.networks[name] = SideNetwork(
                tower,
                own,
                width,
                context,
                None if name == encoder else output,
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
