"""Merging a method whose change is linear into the weights of the maps that it changes, and taking it out again.

    y = x Wᵀ + b + x ΔWᵀ = x (W + ΔW)ᵀ + b

The former weights are kept, so that unmerging restores them bit for bit.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vlpeft.adapters import Adapter
from vlpeft.sites import LinearSite, SiteError, Tower


def _transposed(module: nn.Module) -> bool:
    """Whether a map's weight is stored (in, out), as transformers' ``Conv1D`` does."""
    return type(module).__name__ == 'Conv1D'


def _rows(weight: Tensor, site: LinearSite, transposed: bool) -> Tensor:
    """A view (out, in) of the part of a weight that is the site's."""
    whole = weight.T if transposed else weight
    return whole if site.span is None else whole[site.span[0] : site.span[1]]


def _weight_of(tower: Tower, site: LinearSite) -> nn.Parameter:
    weight = getattr(tower.module.get_submodule(site.path), 'weight', None)
    if not isinstance(weight, nn.Parameter) or not weight.is_floating_point():
        kind = type(tower.module.get_submodule(site.path)).__name__
        raise SiteError(
            f'{tower.name}: {site.path} is a quantised map ({kind}), which nothing can be merged into; use the adapter '
            'unmerged'
        )
    return weight


class Merged:
    """A method merged into the weights of its towers.

    Args:
        adapter: The method.
        towers: The backbones by name.

    Raises:
        SiteError: The change is not linear, or a map is quantised. Nothing has changed then.
    """

    @torch.no_grad()
    def __init__(self, adapter: Adapter, towers: Mapping[str, Tower]) -> None:
        changes = list(adapter.weight_changes(towers))
        weights = [_weight_of(towers[name], site) for name, site, _ in changes]
        self.former: list[tuple[nn.Parameter, Tensor]] = []
        kept: set[int] = set()
        for weight, (name, site, change) in zip(weights, changes):
            if id(weight) not in kept:
                kept.add(id(weight))
                self.former.append((weight, weight.detach().clone()))
            rows = _rows(weight.data, site, _transposed(towers[name].module.get_submodule(site.path)))
            # Added in the wider of the two formats, then rounded once.
            rows.copy_(rows.to(torch.promote_types(rows.dtype, change.dtype)) + change.to(rows.device))

    @torch.no_grad()
    def undo(self) -> None:
        """Restores the former weights bit for bit."""
        for weight, former in self.former:
            weight.data.copy_(former)
