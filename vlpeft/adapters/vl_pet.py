r"""VL-PET: gated bottleneck adapters in the encoder, a small value adapter in the decoder.

    u = h + W_up φ(W_down h + b_down) + b_up           at every encoder self-attention and FFN
    h ← s · G(x, u) ⊙ u                                G: large, middle_x, middle_y or small, see ``gates.py``

    v ← v + V_up φ(V_down e + c_down) + c_up           at the values of every decoder cross-attention

h is the sub-layer's output before dropout and the residual add, x its input on the residual stream (T5: before the
norm), e the encoder's output, φ the tanh form of GELU. The release splits W_down into N_h maps that all read h and are
concatenated; that is one map, and is computed as one.

Hu et al., "VL-PET: Vision-and-Language Parameter-Efficient Tuning via Granularity Control", ICCV 2023.
"""

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from vlpeft.registry import ADAPTERS
from vlpeft.sites import Binding, Tower

from .base import Adapter
from .bottleneck_layer import BottleneckLayer, check_choice, check_size
from .gates import GateLayer, GateOptions
from .places import places

TARGETS = dict(towers=('encoder',), kinds=('self_attn', 'ffn'))
VALUE_TOWER = 'decoder'
VALUE_TARGETS = dict(towers=(VALUE_TOWER,), kinds=('cross_attn',), linears=('v',))
GATE_INPUTS = ('h+dh', 'h')


class VLPETLayer(GateLayer):
    """The gated bottleneck of one branch.

    Args:
        width: D.
        bottleneck: r.
        gate_input: What the gate sees beside x: ``'h+dh'`` is u, ``'h'`` the bare output.
        options: The gate.
    """

    def __init__(self, width: int, bottleneck: int, gate_input: str, options: GateOptions) -> None:
        super().__init__(width, options)
        self.gate_input = gate_input
        self.bottleneck = BottleneckLayer(width, width, bottleneck, init=options.init)

    def adapt(self, h: Tensor, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """s · G ⊙ (h + Δh) of ``h`` and ``x`` (B, L, D); ``mask`` as in :class:`vlpeft.sites.Block`."""
        u = self.bottleneck.add_sequential(h)
        return self.product(self.gate(x, u if self.gate_input == 'h+dh' else h, mask), u)


@ADAPTERS.register_module()
class VLPET(Adapter):
    """VL-PET; the defaults are those released for BART. T5: ``scale=0.3, init='zero_up', bottleneck=192``.

    Args:
        towers: The frozen backbones by name.
        granularity: ``'large'``, ``'middle_x'``, ``'middle_y'`` or ``'small'``. Defaults to ``'large'``.
        bottleneck: r. Defaults to 96.
        heads: N_h; it must divide r and changes nothing else. Defaults to 4.
        gate_bottleneck: r_g of large. Defaults to None, which means r.
        scale: s. Defaults to 1.
        init: ``'normal'``: weights and z from N(0, 0.02), biases zero; ``'zero_up'``: torch's default, then zero for
            the up-projections, the last map of each gate and z. Defaults to ``'normal'``.
        targets: Gated branches, arguments of :class:`vlpeft.sites.Targets` but ``linears``. Defaults to None:
            self-attention and FFN of tower ``encoder``.
        value_bottleneck: r_d; None for no value adapter. Defaults to 96.
        value_targets: Maps that value adapters act on, arguments of :class:`vlpeft.sites.Targets`. Defaults to None:
            the values of the cross-attentions of tower ``decoder``; beside ``targets`` of one's own only if there is
            such a tower.
        gate_input: What middle_x and small see beside x: ``'h+dh'`` as released, ``'h'`` as in the paper's figure.
            Defaults to ``'h+dh'``.
        middle_y: ``'1+z'`` as released, ``'1+sigmoid(z)'`` as in the figure. Defaults to ``'1+z'``.
        mean: Mean of small: over ``'all'`` tokens, padding included, as released, or over the real ones
            (``'masked'``). Defaults to ``'all'``.

    Raises:
        SiteError: The targets name a tower, kind, depth or linear map that does not exist, the mean of small would mix
            tokens of a causal or packed tower, or a masked mean finds no mask.
        ValueError: ``heads`` does not divide ``bottleneck``, or an unknown choice.
    """

    def __init__(
        self,
        towers: Mapping[str, Tower],
        granularity: str = 'large',
        bottleneck: int = 96,
        heads: int = 4,
        gate_bottleneck: int | None = None,
        scale: float = 1.0,
        init: str = 'normal',
        targets: dict | None = None,
        value_bottleneck: int | None = 96,
        value_targets: dict | None = None,
        gate_input: str = 'h+dh',
        middle_y: str = '1+z',
        mean: str = 'all',
    ) -> None:
        super().__init__(towers)
        check_choice('VLPET', 'gate_input', gate_input, GATE_INPUTS)
        sizes = dict(
            bottleneck=bottleneck, heads=heads, gate_bottleneck=gate_bottleneck, value_bottleneck=value_bottleneck
        )
        for option, size in sizes.items():
            if size is not None:
                check_size(option, size)
        if bottleneck % heads:
            raise ValueError(f'VLPET: heads={heads} does not divide bottleneck={bottleneck}')
        self.options = GateOptions('VLPET', granularity, gate_bottleneck or bottleneck, scale, init, middle_y, mean)
        self.targets = TARGETS if targets is None else targets
        self.value_targets = VALUE_TARGETS if value_targets is None else value_targets
        self.layers = nn.ModuleDict(
            {
                place.key: VLPETLayer(place.out_features, bottleneck, gate_input, self.options)
                for place in self.options.places(self.targets, towers)
            }
        )
        self.values = nn.ModuleDict()
        has_place = targets is None or value_targets is not None or VALUE_TOWER in towers
        if value_bottleneck is not None and has_place:
            for place in places(self.value_targets, towers, 'VLPET'):
                self.values[place.key] = BottleneckLayer(
                    place.in_features, place.out_features, value_bottleneck, init=init
                )

    def bindings(self, towers: Mapping[str, Tower]) -> Iterator[Binding]:
        for place in self.options.places(self.targets, towers):
            yield self.options.binding(place, towers, self.layers[place.key].adapt)
        if self.values:
            for place in places(self.value_targets, towers, 'VLPET'):
                edit = self.values[place.key].add_parallel
                yield Binding(place.tower, place.depth, (place.source,), place.write, edit)

    def role_of(self, name: str) -> str:
        part, _, member, *_ = name.split('.')
        if part == 'values':
            return 'value_adapter'
        return 'gate' if member == 'gate' else 'adapter'
