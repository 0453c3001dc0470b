r"""IA³: keys, values and the hidden units of feed-forward networks are scaled.

    k ← l_k ⊙ k,   v ← l_v ⊙ v,   W_2 (l_ff ⊙ φ(W_1 x)),   l = 1 at the start

A scale of an attention's map acts on its output, that of the map that leads out of a feed-forward network on its input.

Liu et al., "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning", NeurIPS 2022.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from vlpeft.registry import ADAPTERS
from vlpeft.sites import Binding, LinearSite, SiteError, Targets, Tower

from .base import Adapter, WeightChange
from .places import module_key

#: Maps of each kind of sub-layer.
RELEASED = dict(self_attn=('k', 'v'), cross_attn=('k', 'v'), ffn=('fc2',))
#: The maps that lead out of a plain and of a gated feed-forward network.
FEEDFORWARD = ('fc2', 'down')


class Scale(nn.Module):
    """A scale of one tensor.

    Args:
        width: Of the tensor.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def multiply(self, value: Tensor) -> Tensor:
        """l ⊙ value, in value's format."""
        return (value * self.scale).to(value.dtype)


def _released(kinds: Sequence[str] | None) -> list[str] | None:
    """Maps of the kinds that are named; None, which is all maps, where the release scales none of these."""
    named = [kind for kind in RELEASED if kinds is None or kind in kinds]
    return list(dict.fromkeys(role for kind in named for role in RELEASED[kind])) or None


@ADAPTERS.register_module()
class IA3(Adapter):
    """IA³: scales at the linear maps of the chosen sites.

    Args:
        towers: The frozen backbones by name.
        targets: Arguments of :class:`vlpeft.sites.Targets`. Its ``linears`` default to what of ``['k', 'v', 'fc2']``,
            as released, the ``kinds`` have, and to all maps of a connector; ``'fc2'`` is ``down`` of a gated network.
        feedforward: Roles of the maps whose input is scaled rather than their output. Defaults to
            ``('fc2', 'down')``.

    Raises:
        SiteError: The targets name a tower, kind, depth or linear map that does not exist, or the input of a map is
            also that of other maps.
    """

    def __init__(self, towers: Mapping[str, Tower], targets: dict, feedforward: Sequence[str] = FEEDFORWARD) -> None:
        super().__init__(towers)
        self.targets = Targets(**{'linears': _released(targets.get('kinds')), **targets})
        self.feedforward = tuple(feedforward)
        self.layers = nn.ModuleDict()
        for tower, key, _, site, scales_input in self._maps(towers):
            if scales_input and site.span is not None:
                raise SiteError(
                    f'IA3: {key} is a part of {site.path} of tower "{tower.name}", so its input is that of the other '
                    'parts too; leave its role out of feedforward'
                )
            self.layers[key] = Scale(site.in_features if scales_input else site.out_features)

    def bindings(self, towers: Mapping[str, Tower]) -> Iterator[Binding]:
        for tower, key, depth, site, scales_input in self._maps(towers):
            write = site.input if scales_input else site.output
            yield Binding(tower.name, depth, (), write, self.layers[key].multiply)

    def weight_changes(self, towers: Mapping[str, Tower]) -> Iterator[WeightChange]:
        for tower, key, _, site, scales_input in self._maps(towers):
            scale = self.layers[key].scale
            yield WeightChange.of(tower.name, site, **{'in_scale' if scales_input else 'scale': scale})

    def _maps(self, towers: Mapping[str, Tower]) -> Iterator[tuple[Tower, str, int | None, LinearSite, bool]]:
        for tower, depth, part, role, site in self.targets.linears(towers, 'IA3'):
            yield tower, module_key(tower, depth, part, role), depth, site, role in self.feedforward
