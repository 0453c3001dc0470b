r"""HFPEFT: the layers of Hugging Face's package ``peft`` at sites, in a model that keeps its modules and keys.

    y ← layer(x)                                   layer: what the package puts in the place of a map y = x Wᵀ + b

The package changes a model: a layer of its own, which holds the map, takes the map's place. Here its layers are made
around stand-ins (``frozen_linear.py``) and called by hooks, so that the backbone stays as it is. Where a layer asks for
the map's output of x it gets y as it is, with what methods before this one in a list made of it. Where it computes with
another input or another weight instead, what they made is added to what it returns.

Mangrulkar et al., "PEFT: State-of-the-art Parameter-Efficient Fine-Tuning methods", 2022; AdaLoRA: Zhang et al.,
"Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning", ICLR 2023.
"""

import dataclasses
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from vlpeft.registry import ADAPTERS
from vlpeft.sites import Binding, LinearSite, SiteError, Targets, Tower

from .base import Adapter, WeightChange
from .frozen_linear import FrozenLinear, FrozenMaps
from .hf_peft_options import SUPPORTED, check_options, config_class
from .places import module_key
from .rank_allocation import RankAllocation

NAME = 'default'
#: Those that can be merged: y ← y + x ΔWᵀ.
ADDITIVE = ('LoraConfig', 'AdaLoraConfig', 'LoHaConfig', 'LoKrConfig', 'VeraConfig', 'FourierFTConfig')
#: IA³ scales what enters these maps, and what leaves the others.
FEEDFORWARD = ('fc2', 'down')


class PEFTLayer(nn.Module):
    """A layer of the package at a map.

    Args:
        layer: It, around a :class:`FrozenLinear`.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def replace(self, y: Tensor, x: Tensor) -> Tensor:
        """What the layer returns in the place of the map's ``y`` (…, out), of ``x`` (…, in)."""
        map_ = self.layer.get_base_layer()
        map_.passed, map_.was_asked = (x, y), False
        try:
            out = self.layer(x)
        finally:
            map_.passed = None
        return out if map_.was_asked else out + (y - map_.plain(x))


@ADAPTERS.register_module()
class HFPEFT(Adapter):
    """Methods of the package ``peft`` at the linear maps of the chosen sites. It needs the extra ``peft``.

    Args:
        towers: The frozen backbones by name.
        config: ``dict(type='LoHaConfig', r=8, …)``: a config of the package by its name, and its options.
        targets: Arguments of :class:`vlpeft.sites.Targets`; fused projections are adapted by their parts.

    Attributes:
        tuner: The package's object that has made the layers.
        allocation: Of AdaLoRA's ranks.

    Raises:
        SiteError: A type that does not act on linear maps alone, an option that names modules or changes the base, or
            targets that name what does not exist.
        ValueError: An unknown option, or one that the package refuses.
        ImportError: The package is not installed.
    """

    option_types = SUPPORTED

    def __init__(self, towers: Mapping[str, Tower], config: Mapping[str, Any], targets: dict) -> None:
        super().__init__(towers)
        self.kind = config.get('type')
        self.targets = Targets(**targets)
        maps, roles = {}, {}
        for key, role, tower, _, site in self._maps(towers):
            maps[key], roles[key] = FrozenLinear(tower.at(site.path), site), role
        self.tuner = self._tuner(FrozenMaps(maps), config, roles)
        self.allocation = RankAllocation(self.tuner, NAME) if self.kind == 'AdaLoraConfig' else None

    def _maps(self, towers: Mapping[str, Tower]) -> Iterator[tuple[str, str, Tower, int, LinearSite]]:
        for tower, depth, sublayer, role, site in self.targets.linears(towers, 'HFPEFT'):
            yield module_key(tower, depth, sublayer, role), role, tower, depth, site

    def _tuner(self, maps: nn.Module, config: Mapping[str, Any], roles: Mapping[str, str]) -> nn.Module:
        cls = config_class(self.kind)
        options = {name: value for name, value in config.items() if name != 'type'}
        check_options(cls, options)
        chosen = dict(target_modules=list(roles))
        if 'feedforward_modules' in {field.name for field in dataclasses.fields(cls)}:
            chosen['feedforward_modules'] = [key for key, role in roles.items() if role in FEEDFORWARD]
        from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

        try:
            with warnings.catch_warnings():
                # Of what a model of transformers has and these maps have not.
                warnings.simplefilter('ignore')
                made = cls(**options, **chosen)
                return PEFT_TYPE_TO_TUNER_MAPPING[made.peft_type](maps, made, NAME)
        except (TypeError, ValueError, AssertionError) as error:
            raise ValueError(f'HFPEFT: {self.kind} refuses: {error}') from error

    def bindings(self, towers: Mapping[str, Tower]) -> Iterator[Binding]:
        for key, _, tower, depth, site in self._maps(towers):
            unit = PEFTLayer(self.tuner.model.get_submodule(key))
            yield Binding(tower.name, depth, (site.input,), site.output, unit.replace)

    def weight_changes(self, towers: Mapping[str, Tower]) -> Iterator[WeightChange]:
        if self.kind not in ADDITIVE or getattr(self.tuner.peft_config[NAME], 'lora_bias', False):
            raise SiteError(f'HFPEFT: {self.kind} cannot be merged here; it can be in the package itself')
        for key, _, tower, _, site in self._maps(towers):
            yield WeightChange.of(tower.name, site, weight=self.tuner.model.get_submodule(key).get_delta_weight(NAME))

    def penalty(self) -> Tensor | None:
        return None if self.allocation is None else self.allocation.penalty()
