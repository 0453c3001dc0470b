r"""How large what a method adds is, from its weights alone.

    weight change      ‖W' − W‖           Frobenius, W' with the change merged in, and relative to ‖W‖
    bias change        ‖b' − b‖
    scale              √mean (γ − 1)²      of factors γ on channels
    bottleneck         ‖s W_up W_down‖     Frobenius; an activation stands between the two maps
    gate               mean, least and largest value of gates that depend on no input, after their activation
    learned rows       mean length of the rows of prompts and prefixes

What depends on the input is measured (:mod:`vlpeft.analysis.adapter_measure`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vlpeft.adapters import Adapter, ComposedAdapter, WeightChange
from vlpeft.sites import Binding, SiteError, Tower, gain_offset, numbers_of, weight_rows

from .adapter_places import Places, Where
from .adapter_units import IN_WEIGHTS, unit_sizes

#: What each quantity is, for axes and tables.
QUANTITIES = {
    'weight_change': "size of the weight change, ‖W' − W‖ (Frobenius)",
    'relative_weight_change': "relative weight change, ‖W' − W‖ / ‖W‖",
    'bias_change': "size of the bias change, ‖b' − b‖",
    'scale': 'distance of the factors from 1, √mean (γ − 1)²',
    'bottleneck': 'bottleneck, ‖s W_up W_down‖ (Frobenius)',
    'connector': 'connector, ‖A‖ (Frobenius)',
    'gate': 'gate after its activation, mean over its numbers',
    'rows': 'learned rows, mean length',
    'parameters': 'all parameters, ‖θ‖',
    'measured_ratio': 'measured on data, ‖Δh‖ / ‖h‖',
    'measured_gate': 'gate measured on data, mean',
}


@dataclass(frozen=True)
class Size:
    """A number of a method at a place.

    Attributes:
        method: Its type.
        tower, depth, part: The place, see :class:`~vlpeft.analysis.adapter_places.Where`.
        quantity: One of :data:`QUANTITIES`.
        value: The number.
        low, high: Least and largest of what ``value`` is the mean of. Default to None.
    """

    method: str
    tower: str
    depth: int | None
    part: str
    quantity: str
    value: float
    low: float | None = None
    high: float | None = None

    def as_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


def methods_of(adapter: Adapter | None) -> list[Adapter]:
    """The methods that act, one by one."""
    if adapter is None:
        return []
    return list(adapter.parts) if isinstance(adapter, ComposedAdapter) else [adapter]


@torch.no_grad()
def adapter_sizes(adapter: Adapter | None, towers: Mapping[str, Tower], has_base: bool) -> tuple[list[Size], list[str]]:
    """Sizes of all that a method adds.

    Args:
        adapter: The method; one of several takes each alone.
        towers: By name.
        has_base: Whether the weights of the base are in the towers.

    Returns:
        The sizes in forward order of their places; and what cannot be shown from weights, a line each.
    """
    places, found, notes = Places(towers), [], []
    for method in methods_of(adapter):
        name = type(method).__name__
        own, missing = _merged(method, towers, places, has_base)
        found += own
        found += [
            Size(name, where.tower, where.depth, where.part, quantity, *numbers)
            for where, quantity, *numbers in _of_units(method, towers, places, merged=bool(own))
        ]
        notes += missing
        if not any(size.method == name for size in found):
            notes.append(f'{name}: its weights alone do not tell what it adds; data does (--data)')
    return found, list(dict.fromkeys(notes))


def _merged(
    method: Adapter, towers: Mapping[str, Tower], places: Places, has_base: bool
) -> tuple[list[Size], list[str]]:
    """Changes of weights and biases, of a method that can be merged."""
    name, found, notes = type(method).__name__, [], []
    try:
        for change in method.weight_changes(towers):
            where = places.of_map(change.tower, change.path, change.span)
            for quantity, value in _numbers(change, towers[change.tower].at(change.path), has_base):
                if value is None:
                    notes.append(f'{name}: how large its changes are depends on the weights of the base')
                else:
                    found.append(Size(name, *where, quantity, value))
    except SiteError:  # no weights can hold it
        return [], []
    except (RuntimeError, NotImplementedError) as error:
        if has_base:
            raise
        return [], [f'{name}: what it changes is computed from the weights of the base ({_first_line(error)})']
    return found, notes


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _numbers(change: WeightChange, module: nn.Module, has_base: bool) -> Iterator[tuple[str, float | None]]:
    scales = [scale for scale in (change.scale, change.in_scale) if scale is not None]
    acts = scales or change.weight is not None
    base = _weight(module, change.span) if has_base and acts else None
    if base is not None:
        delta = _delta(change, base)
        yield 'weight_change', float(delta.norm())
        yield 'relative_weight_change', float(delta.norm() / base.norm())
    elif change.weight is not None and not scales:
        yield 'weight_change', float(change.weight.double().norm())
    elif change.weight is not None:
        yield 'weight_change', None
    for scale in scales:
        yield 'scale', float((scale.double() - 1).square().mean().sqrt())
    if change.bias is not None:
        yield 'bias_change', float(change.bias.double().norm())


def _weight(module: nn.Module, span: tuple[int, int] | None) -> Tensor | None:
    """(out, in) in float64, of a norm its gains; None of a quantised map."""
    if numbers_of(module) is None:
        return None
    rows = weight_rows(module, span).detach().double()
    return rows + gain_offset(module) if rows.ndim == 1 else rows


def _delta(change: WeightChange, base: Tensor) -> Tensor:
    new = base if change.in_scale is None else base * change.in_scale.double().to(base.device)
    if change.scale is not None:
        scale = change.scale.double().to(base.device)
        new = (scale if base.ndim == 1 else scale[:, None]) * new
    if change.weight is not None:
        new = new + change.weight.double().to(base.device)
    return new - base


def _of_units(method: Adapter, towers: Mapping[str, Tower], places: Places, merged: bool) -> Iterator[tuple]:
    """(where, quantity, value[, low, high]) of the modules of a method that no weights can hold."""
    seen = set()
    for binding in method.bindings(towers):
        if isinstance(binding, Binding):
            unit, edit, given = binding.unit, binding.edit.__name__, binding.given
            where = places.of_binding(binding, isinstance(unit, IN_WEIGHTS))
        else:
            unit, edit, given = binding.enter.__self__, binding.enter.__name__, {}
            where = Where(binding.tower, None, 'call')
        key = (id(unit), edit, where, tuple(given.items()))
        if key in seen:
            continue
        seen.add(key)
        for part, depth, quantity, *numbers in unit_sizes(unit, edit, given, merged):
            at = where._replace(part=f'{where.part} {part}'.strip()) if part else where
            yield at if depth is None else at._replace(depth=depth), quantity, *numbers
