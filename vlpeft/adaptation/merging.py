"""Merging a method whose change is linear into the weights of the maps that it changes, and taking it out again.

    scale ⊙ (x Wᵀ + b) + x ΔWᵀ + Δb = x (diag(scale) W + ΔW)ᵀ + (scale ⊙ b + Δb)
    (in_scale ⊙ x) Wᵀ = x (W diag(in_scale))ᵀ

The former weights and biases are kept, so that unmerging restores them bit for bit.
"""

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vlpeft.adapters import Adapter, WeightChange
from vlpeft.sites import SiteError, Tower, bias_rows, gain_offset, numbers_of, weight_rows


def _changed(change: WeightChange, module: nn.Module) -> list[nn.Parameter]:
    """What of a map changes: its weight, its bias, or both.

    Raises:
        SiteError: It has no such numbers.
    """
    weight, bias = numbers_of(module), numbers_of(module, 'bias')
    if weight is None:
        raise SiteError(
            f'{change.tower}: {change.path} is a quantised map ({type(module).__name__}), which nothing can be merged '
            'into; use the adapter unmerged'
        )
    if change.bias is not None and bias is None:
        raise SiteError(
            f'{change.tower}: {change.path} has no bias, so what is added to its output cannot be merged; use the '
            'adapter unmerged'
        )
    scaled = change.scale is not None
    chosen = [weight] if scaled or change.weight is not None or change.in_scale is not None else []
    return [*chosen, bias] if bias is not None and (scaled or change.bias is not None) else chosen


def _put(rows: Tensor, scale: Tensor | None, added: Tensor | None) -> None:
    """rows ← scale ⊙ rows + added, in the wider of the formats, then rounded once."""
    value = rows
    if scale is not None:
        value = (scale if rows.ndim == 1 else scale[:, None]).to(rows.device) * value
    if added is not None:
        value = value.to(torch.promote_types(value.dtype, added.dtype)) + added.to(rows.device)
    rows.copy_(value)


class Merged:
    """A method merged into the weights of its towers.

    Args:
        adapter: The method.
        towers: The backbones by name.

    Raises:
        SiteError: The change is not linear, a map is quantised, or one has no bias to hold a change of it. Nothing has
            changed then.
    """

    @torch.no_grad()
    def __init__(self, adapter: Adapter, towers: Mapping[str, Tower]) -> None:
        changes = [(change, towers[change.tower].at(change.path)) for change in adapter.weight_changes(towers)]
        changed = {id(param): param for change, module in changes for param in _changed(change, module)}
        self.former = [(param, param.detach().clone()) for param in changed.values()]
        # A map runs when all edits of its input are done; what a method adds sees those of the methods before it.
        for change, module in changes:
            if change.in_scale is not None:
                _put(weight_rows(module).detach().T, change.in_scale, None)
        seen: dict[int, Tensor] = {}
        for change, module in changes:
            if change.in_scale is not None:
                seen[id(module)] = seen.get(id(module), 1) * change.in_scale
            if change.scale is not None or change.weight is not None:
                added = change.weight
                if added is not None and id(module) in seen:
                    added = added * seen[id(module)]
                rows = weight_rows(module, change.span).detach()
                if rows.ndim == 1 and change.scale is not None:
                    # Of a norm whose gain is weight + offset.
                    added = gain_offset(module) * (change.scale - 1)
                _put(rows, change.scale, added)
            bias = bias_rows(module, change.span)
            if bias is not None and (change.scale is not None or change.bias is not None):
                _put(bias.detach(), change.scale, change.bias)
        self.versions = [param._version for param, _ in self.former]

    @torch.no_grad()
    def undo(self) -> None:
        """Restores the former weights and biases bit for bit; warns if others were put in their place meanwhile."""
        if any(param._version != version for (param, _), version in zip(self.former, self.versions)):
            warnings.warn(
                'the weights of the model were written to while a set was merged into them (a base was loaded, or they '
                'were trained); unmerging brings back those from before merging',
                stacklevel=3,
            )
        for param, former in self.former:
            param.data.copy_(former)
