r"""LoRA: a low-rank change of frozen linear maps.

    y ← y + s · B A Dropout(x),   A ∈ R^{r×in} kaiming-uniform, B ∈ R^{out×r} zero

s = α / r, or α / √r (rank-stabilised). PiSSA starts A and B from the r largest singular values of the frozen weight,
W ≈ s · B₀ A₀, and trains them beside the rest of it:

    y ← y + s · B A Dropout(x) − s · B₀ A₀ x

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022; Kalajdzievski, "A Rank Stabilization Scaling
Factor for Fine-Tuning with LoRA", 2023; Meng et al., "PiSSA: Principal Singular Values and Singular Vectors Adaptation
of Large Language Models", NeurIPS 2024.
"""

from collections.abc import Iterator, Mapping

from torch import nn

from vlpeft.registry import ADAPTERS
from vlpeft.sites import Binding, LinearSite, Tower, weight_rows

from .base import WeightChange
from .bitfit import BitFit
from .bottleneck_layer import check_choice
from .lora_layer import LoRALinear, PissaLinear, scale_of
from .per_map import PerMapAdapter

SCALINGS, INITS, BIASES = ('standard', 'rslora'), ('kaiming', 'pissa'), ('none', 'all', 'adapted')


@ADAPTERS.register_module()
class LoRA(PerMapAdapter):
    """LoRA: low-rank changes of the linear maps at the chosen sites.

    Args:
        towers: The frozen backbones by name.
        targets: Arguments of :class:`vlpeft.sites.Targets`; fused projections are adapted by their parts.
        rank: r. Defaults to 16.
        alpha: α. Defaults to None, which means r, so that s is one.
        dropout: Rate on the input. Defaults to 0.
        scaling: ``'standard'``, s = α / r, or ``'rslora'``, s = α / √r, which needs an α. Defaults to
            ``'standard'``.
        init: ``'kaiming'``, or ``'pissa'``: from the singular values of the frozen weights. Defaults to ``'kaiming'``.
        bias: Which biases are learned too, as offsets (:class:`BitFit`): ``'adapted'``, those of the adapted maps;
            ``'all'``, those of all maps and norms in the chosen towers' blocks and of their other norms; ``'none'``.
            Defaults to ``'none'``.

    Raises:
        SiteError: The targets name a tower, kind, depth or linear map that does not exist; PiSSA meets a quantised map;
            or nothing that ``bias`` means has a bias.
        ValueError: Unknown ``scaling``, ``init`` or ``bias``; a rank or α that is none; ``'rslora'`` without α.
    """

    def __init__(
        self,
        towers: Mapping[str, Tower],
        targets: dict,
        rank: int = 16,
        alpha: float | None = None,
        dropout: float = 0.0,
        scaling: str = 'standard',
        init: str = 'kaiming',
        bias: str = 'none',
    ) -> None:
        super().__init__(towers, targets)
        for option, value, choices in (('scaling', scaling, SCALINGS), ('init', init, INITS), ('bias', bias, BIASES)):
            check_choice(type(self).__name__, option, value, choices)
        if scaling != 'standard' and alpha is None:
            raise ValueError(f"{type(self).__name__}: scaling='rslora' is α / √r; it needs an alpha")
        self.init, self.scaling = init, scaling
        scale = scale_of(rank, alpha, scaling)

        self.build_units(towers, lambda tower, site: self._unit(tower.at(site.path), site, rank, scale, dropout))
        self.biases = None
        if bias == 'adapted':
            self.biases = BitFit(towers, targets, norms=False)
        elif bias == 'all':
            self.biases = BitFit(towers, dict(towers=self.targets.towers))

    def _unit(self, module: nn.Module, site: LinearSite, *options) -> LoRALinear:
        if self.init != 'pissa':
            return LoRALinear(site, *options)
        weight_rows(module)  # refuses a quantised map
        return PissaLinear(site, *options)

    def start_from(self, towers: Mapping[str, Tower]) -> None:
        if self.init == 'pissa':
            for key, tower, _, site in self.maps(towers):
                self.layers[key].start(weight_rows(tower.at(site.path), site.span))

    def bindings(self, towers: Mapping[str, Tower]) -> Iterator[Binding]:
        yield from super().bindings(towers)
        if self.biases is not None:
            yield from self.biases.bindings(towers)

    def weight_changes(self, towers: Mapping[str, Tower]) -> Iterator[WeightChange]:
        yield from super().weight_changes(towers)
        if self.biases is not None:
            yield from self.biases.weight_changes(towers)

    def second_factors(self) -> Iterator[nn.Parameter]:
        for unit in self.layers.values():
            yield unit.up.weight

    def role_of(self, name: str) -> str:
        return 'bias' if name.startswith('biases.') else 'adapter'
