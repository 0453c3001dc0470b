"""Edits: hooks that replace the tensor at a tap by what a unit makes of it, while its set acts."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from .bindings import Binding
from .schema import SiteError
from .switch import AdapterSwitch, PerSample
from .taps import AtTap, Capture, first_of


def _cast(value: Any, dtype: torch.dtype | None) -> Any:
    if dtype is None or not isinstance(value, Tensor) or not value.is_floating_point():
        return value
    return value.to(dtype)


def _a_weight(unit: nn.Module) -> tuple[nn.Module, str] | None:
    """Module and name of a parameter of floating-point numbers; None if there is none."""
    for module in unit.modules():
        for name, param in module.named_parameters(recurse=False):
            if param.is_floating_point():
                return module, name
    return None


class Edit(AtTap):
    """Replaces the tensor at a tap by the unit's result, while the unit's set is the active one.

    Attributes:
        observer: Called with the tensor that is there and with what takes its place. Defaults to None, nobody.
    """

    observer: Callable[[Tensor, Tensor], None] | None = None

    def __init__(
        self, binding: Binding, captures: list[Capture], switch: AdapterSwitch, name: str, packed: bool = False
    ) -> None:
        super().__init__(binding.write)
        self.packed = packed
        self.site, self.tower, self.depth, self.edit = binding.site, binding.tower, binding.depth, binding.edit
        self.changes_rows, self.tasks, self.given = binding.changes_rows, binding.tasks, binding.given
        self.changes_width = binding.changes_width
        # Where one parameter is that stands for the format of all: looking for it in every pass would cost more than
        # the look. Not the parameter itself, which sharding replaces by others.
        self.weight = _a_weight(self.unit)
        self.captures, self.switch, self.name = captures, switch, name
        self.hits = 0
        self.served: set[str] = set()

    def reset(self, module: nn.Module, args: tuple) -> None:
        """A pass that was cut short (an early-stopped recomputation, an exception) must not leak into the next."""
        for capture in self.captures:
            capture.value = None

    def on_input(self, module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict] | None:
        """Forward pre-hook."""
        value = self._edited(self.argument(args, kwargs))
        if value is None:
            return None
        position = self.tap.argument
        if position is not None and len(args) > position:
            return (*args[:position], value, *args[position + 1 :]), kwargs
        return args, {**kwargs, self.tap.keyword: value}

    def on_output(self, module: nn.Module, args: tuple, output: Any) -> Any:
        """Forward hook."""
        value = self._edited(first_of(output))
        if value is None:
            return None
        return (value, *output[1:]) if isinstance(output, tuple) else value

    @property
    def unit(self) -> nn.Module:
        """The module that edits."""
        return self.edit.__self__

    def _edited(self, whole: Tensor) -> Tensor | None:
        """What replaces ``whole``, or None where it stays."""
        reads = self.take()
        value = None if reads is None else self.value(self.see(whole), reads)
        return None if value is None else self.put(whole, value)

    def take(self) -> list[Tensor | None] | None:
        """What was captured in this pass, for this edit alone; None where it has nothing to do."""
        reads = [capture.value for capture in self.captures]
        for capture in self.captures:
            capture.value = None
        active = self.switch.active
        acts = active == self.name or isinstance(active, PerSample)
        return reads if acts and (not reads or any(read is not None for read in reads)) else None

    def value(self, seen: Tensor, reads: list[Tensor | None]) -> Tensor | None:
        """What replaces ``seen``, or None where it stays."""
        active = self.switch.active
        return self._of_samples(active, seen, reads) if isinstance(active, PerSample) else self._of_unit(seen, reads)

    def _of_unit(self, seen: Tensor, reads: list[Tensor | None]) -> Tensor:
        told = self._told()
        if not torch.compiler.is_compiling():
            self.hits += 1
            if self.tasks:
                self.served.add(told['task'])
        dtype = self._other_format(seen)
        value = self.edit(*(_cast(part, dtype) for part in (seen, *reads)), **told)
        if not isinstance(value, Tensor) or self._fixed(value.shape) != self._fixed(seen.shape):
            raise SiteError(self._refusal(seen, value))
        value = value if dtype is None else value.to(seen.dtype)
        if self.observer is not None:
            self.observer(seen, value)
        return value

    def _told(self) -> dict[str, Any]:
        """What the edit is told by keyword, the batch's task among it where it asks for that."""
        if not self.tasks:
            return dict(self.given)
        task = self.switch.current_task
        if task not in self.tasks:
            found = 'no task is named' if task is None else f'the task is {task!r}'
            raise SiteError(
                f'{type(self.unit).__name__} at {self.site} has something of its own for each of the tasks '
                f"{', '.join(self.tasks)}, but {found}; run the model inside 'with adapter.task(name)' (a task model "
                "whose samples name no task: 'with model.switch.task(name)')"
            )
        return dict(self.given, task=task)

    def _other_format(self, seen: Tensor) -> torch.dtype | None:
        """The unit's floating-point format, where it differs from the stream's and autocast does not choose it."""
        if self.weight is None or not seen.is_floating_point():
            return None
        module, name = self.weight
        own = getattr(module, name).dtype
        if own == seen.dtype:
            return None
        # There is no autocast on meta.
        return None if not seen.is_meta and torch.is_autocast_enabled(seen.device.type) else own

    def _of_samples(self, active: PerSample, seen: Tensor, reads: list[Tensor | None]) -> Tensor | None:
        """The rows of this set's samples edited, the others as they are."""
        if self.packed:
            raise SiteError(
                f'sets per sample cannot act at {self.site}: the stream of its tower is packed, it holds the tokens of '
                'all samples in one sequence'
            )
        count = len(seen)
        rows = active.rows_of(self.name, count)
        if rows is None or self.changes_rows:
            found = 'the number of rows changes' if rows is not None else f'{count} rows pass'
            raise SiteError(
                f'sets per sample were given for {len(active.names)} samples (of {active.rows_each} rows at most), '
                f'but at {self.site} {found}'
            )
        if not rows:
            return None
        index = torch.tensor(rows, device=seen.device)
        # A tensor that serves all rows alike, as some masks do, serves these too.
        own = [read[index] if isinstance(read, Tensor) and len(read) == count else read for read in reads]
        return seen.index_copy(0, index, self._of_unit(seen[index], own).to(seen.dtype))

    def _fixed(self, shape: torch.Size) -> tuple[int, ...]:
        rows = () if self.changes_rows else shape[-2:-1]
        return (*shape[:-2], *rows, *(() if self.changes_width else shape[-1:]))

    def _refusal(self, seen: Tensor, value: Any) -> str:
        """A forward hook that returns None leaves the tensor as it is: nothing would be adapted, without a word."""
        if isinstance(value, Tensor):
            found = f'shape {tuple(value.shape)}'
        else:
            found = 'None' if value is None else type(value).__name__
        return (
            f'{type(self.unit).__name__}.{self.edit.__name__} at {self.site} returns {found} instead of a tensor of '
            f'shape {tuple(seen.shape)}'
        )


class Parts:
    """Edits of different parts of one output, a fused projection's: it is taken apart and put together once for all."""

    def __init__(self, module: nn.Module, edits: list[Edit]) -> None:
        self.module, self.edits = module, edits

    @staticmethod
    def fits(edit: Edit) -> bool:
        """Whether an edit is of a part of an output."""
        tap = edit.tap
        plain = tap.shape_of is None and not tap.grid and not edit.changes_rows
        return plain and tap.span is not None and tap.side == 'output'

    def takes(self, edit: Edit, module: nn.Module) -> bool:
        """Whether an edit can be made at once with these: it is of another part, and does not read what they leave."""
        start, stop = edit.tap.span
        apart = all(stop <= other.tap.span[0] or other.tap.span[1] <= start for other in self.edits)
        reads = [capture.tap for capture in edit.captures]
        return (
            module is self.module
            and apart
            and not any(tap.path == edit.tap.path and tap.side == 'output' for tap in reads)
        )

    def on_output(self, module: nn.Module, args: tuple, output: Any) -> Any:
        """Forward hook."""
        taken = [edit.take() for edit in self.edits]
        if all(reads is None for reads in taken):
            return None
        whole = first_of(output)
        bounds = sorted({0, *(bound for edit in self.edits for bound in edit.tap.span), whole.shape[-1]})
        parts = dict(zip(bounds, whole.split([stop - start for start, stop in pairwise(bounds)], dim=-1)))
        values = {}
        for edit, reads in zip(self.edits, taken):
            start = edit.tap.span[0]
            values[start] = None if reads is None else edit.value(parts[start], reads)
        if all(value is None for value in values.values()):
            return None
        value = torch.cat([part if values.get(start) is None else values[start] for start, part in parts.items()], -1)
        return (value, *output[1:]) if isinstance(output, tuple) else value
