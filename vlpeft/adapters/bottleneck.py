r"""Bottleneck adapters: a small two-layer map at the output of chosen branches or linear maps.

    f(u) = W_up φ(W_down u + b_down) + b_up
    sequential:  h ← h + s · f(h)
    parallel:    h ← h + s · f(x)

h is a sub-layer's output before dropout and the residual add, x its input on the residual stream; at a linear map they
are its output and its input, so that the parallel form on the values of a cross-attention is VL-PET's value adapter.

Houlsby et al., "Parameter-Efficient Transfer Learning for NLP", ICML 2019; He et al., "Towards a Unified View of
Parameter-Efficient Transfer Learning", ICLR 2022 (parallel form, s); Sung et al., "VL-Adapter: Parameter-Efficient
Transfer Learning for Vision-and-Language Tasks", CVPR 2022 (one sequential adapter shared by all tasks).
"""

from collections.abc import Iterator, Mapping

from torch import nn

from vlpeft.registry import ADAPTERS
from vlpeft.sites import Binding, Tower

from .base import Adapter
from .bottleneck_layer import GELU, INITS, BottleneckLayer, check_choice
from .places import Place, places

FORMS = ('sequential', 'parallel')
LAYER_INITS = (*INITS, 'clamped')


@ADAPTERS.register_module()
class Bottleneck(Adapter):
    """Bottleneck adapters at the chosen sites.

    Args:
        towers: The frozen backbones by name.
        targets: Arguments of :class:`vlpeft.sites.Targets`. Without ``linears`` the outputs of sub-layers, connectors
            and patch embeddings are adapted, with it the outputs of linear maps.
        bottleneck: r. Defaults to 96.
        form: ``'sequential'`` or ``'parallel'``. Defaults to ``'sequential'``.
        scale: s. Defaults to 1.
        init: ``'normal'``: weights N(0, 0.02), biases zero; ``'zero_up'``: torch's default, then the up-projection
            zero, so that training starts at the base; ``'clamped'``, as in eP-ALM's release: all from N(0, 1e-3),
            clamped to ±2e-3. Defaults to ``'normal'``.
        act_cfg: φ. Defaults to the tanh form of GELU.

    Raises:
        SiteError: The targets name a tower, kind, depth or linear map that does not exist.
        ValueError: Unknown ``form`` or ``init``.
    """

    def __init__(
        self,
        towers: Mapping[str, Tower],
        targets: dict,
        bottleneck: int = 96,
        form: str = 'sequential',
        scale: float = 1.0,
        init: str = 'normal',
        act_cfg: Mapping = GELU,
    ) -> None:
        super().__init__(towers)
        check_choice('Bottleneck', 'form', form, FORMS)
        check_choice('Bottleneck', 'init', init, LAYER_INITS)
        self.targets, self.form = targets, form
        self.layers = nn.ModuleDict()
        for place in self._places(towers):
            width = place.in_features if form == 'parallel' else place.out_features
            self.layers[place.key] = BottleneckLayer(width, place.out_features, bottleneck, scale, init, act_cfg)

    def bindings(self, towers: Mapping[str, Tower]) -> Iterator[Binding]:
        for place in self._places(towers):
            layer = self.layers[place.key]
            reads, edit = (
                ((place.source,), layer.add_parallel) if self.form == 'parallel' else ((), layer.add_sequential)
            )
            yield Binding(place.tower, place.depth, reads, place.write, edit)

    def _places(self, towers: Mapping[str, Tower]) -> Iterator[Place]:
        return places(self.targets, towers, 'Bottleneck', reads_source=self.form == 'parallel')
