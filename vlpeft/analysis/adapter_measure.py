r"""How large what a method adds is on data: ‖Δh‖ / ‖h‖ at every place, and the values of its gates.

    ratio = √(Σ ‖h' − h‖² / Σ ‖h‖²)     over all tokens and samples, padding included; h' is what takes the place of h

The passes are those of the loss, in eval mode.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from vlpeft.adapters import Adapter
from vlpeft.adapters.gates import GateLayer
from vlpeft.adapters.soft_prompt import SoftPrompt
from vlpeft.adapters.uniadapter_layer import MODALITIES
from vlpeft.sites import Binding, Tower, in_eval_mode
from vlpeft.sites.edits import Edit

from .adapter_places import Places, Where
from .adapter_sizes import Size, methods_of
from .adapter_units import IN_WEIGHTS


class _Ratio:
    """Sums of squares of a change and of what it changes."""

    def __init__(self) -> None:
        self.change = self.whole = 0.0

    def __call__(self, seen: Tensor, value: Tensor) -> None:
        if seen.shape == value.shape:
            seen = seen.detach().double()
            self.change += float((value.detach().double() - seen).square().sum())
            self.whole += float(seen.square().sum())

    @property
    def value(self) -> float | None:
        """None where nothing has passed, or rows were added."""
        return (self.change / self.whole) ** 0.5 if self.whole else None


class _Values:
    """Mean, least and largest of the numbers of a gate."""

    def __init__(self, scale: float) -> None:
        self.scale, self.total, self.count = scale, 0.0, 0
        self.low, self.high = float('inf'), float('-inf')

    def __call__(self, module: nn.Module, args: tuple, output: Tensor) -> None:
        values = self.scale * output.detach().double()
        self.total, self.count = self.total + float(values.sum()), self.count + values.numel()
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))


@contextmanager
def _watched(edits: list[Edit]) -> Iterator[dict[int, _Ratio]]:
    ratios = {index: _Ratio() for index in range(len(edits))}
    for index, edit in enumerate(edits):
        edit.observer = ratios[index]
    try:
        yield ratios
    finally:
        for edit in edits:
            edit.observer = None


@torch.no_grad()
def measure(model: nn.Module, batches: Iterator[Mapping[str, Any]], count: int) -> list[Size]:
    """Runs some batches of the loss.

    Args:
        model: An :class:`~vlpeft.models.tasks.base.AdaptedModel` with its base. Queues of features that a loss fills
            are filled.
        batches: Collated, as a loader gives them.
        count: How many; all if there are fewer.

    Returns:
        ``measured_ratio`` of every edit that keeps the shape of what it edits, and ``measured_gate`` of gates.
    """
    edits = [edit for edit in model.sets.attachments['default'].edits if isinstance(edit, Edit)]
    wheres = _wheres(model.adapter, model.towers)
    gates: dict[int, tuple[int, _Values]] = {}
    with ExitStack() as stack:
        ratios = stack.enter_context(_watched(edits))
        for index, edit in enumerate(edits):
            if isinstance(edit.unit, GateLayer) and id(edit.unit) not in gates:
                values = _Values(edit.unit.scale)
                stack.callback(edit.unit.gate.register_forward_hook(values).remove)
                gates[id(edit.unit)] = index, values
        stack.enter_context(in_eval_mode(model))
        for _, batch in zip(range(count), batches):
            model(**model.data_preprocessor(batch, True), mode='loss')
    found = []
    for index, edit in enumerate(edits):
        # Rows of a prompt take the place of room that a caller has made.
        if (value := ratios[index].value) is not None and not isinstance(edit.unit, SoftPrompt):
            found.append(Size(*wheres[index], 'measured_ratio', value))
    for index, values in gates.values():
        if values.count:
            found.append(Size(*wheres[index], 'measured_gate', values.total / values.count, values.low, values.high))
    return found


def _wheres(adapter: Adapter, towers: Mapping[str, Tower]) -> list[tuple]:
    """Method, tower, depth and part of each edit of tensors, in the order of the hooks."""
    places = Places(towers)
    return [
        (type(method).__name__, *_where(places, binding))
        for method in methods_of(adapter)
        for binding in method.bindings(towers)
        if isinstance(binding, Binding)
    ]


def _where(places: Places, binding: Binding) -> Where:
    where = places.of_binding(binding, isinstance(binding.unit, IN_WEIGHTS))
    term = binding.edit.__name__.removeprefix('add_')
    return where._replace(part=f'{where.part} ({term})') if term in MODALITIES else where
