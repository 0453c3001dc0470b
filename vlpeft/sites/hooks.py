"""Attaching with the backbone left as it is: forward hooks that read tensors at some taps of a block and edit another.

Hooks are bound methods of plain objects that hold the adapter module, so ``copy.deepcopy`` of a model carries them
along, and no submodule is added to the backbone, so its state-dict keys never change.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
import torch._dynamo.config as dynamo_config
from torch import Tensor, nn

from .calls import AtCall, CallBinding
from .schema import SiteError, Tap, Tower
from .switch import AdapterSwitch, PerSample

# By default compiled modules do not notice hooks that come or go later: one could run without its adapter.
dynamo_config.skip_nnmodule_hook_guards = False


@dataclass(frozen=True)
class Binding:
    """What a method does at one place.

    ``edit(value, *reads)``, a method of the adapter's module, receives the tensor at ``write`` and those at ``reads``
    (None where the pass did not reach them) and returns the new value, of the same shape (but for its rows or width,
    where ``changes_rows`` or ``changes_width`` says so): anything else is a :class:`SiteError` in that pass, which the
    probe of a task model runs at once. It is not called in a pass that reaches none of its reads, such as those at a
    cross-attention in a text-only pass. Where a backbone and its adapter have different number formats, it computes in
    the adapter's.

    Attributes:
        tower: The tower's name.
        depth: The block's index in it; None for a place outside of all blocks.
        reads: Taps captured earlier in the same block; outside of all blocks, in the same pass of the tower.
        write: The tap whose tensor is replaced.
        edit: Bound method of a module of the adapter.
        changes_rows: Whether the new value may have another number of rows, its last dimension but one. Defaults to
            False.
        changes_width: Whether its last dimension may become another: whatever receives it then takes its part before
            the backbone sees it. Defaults to False.
        tasks: Names of the tasks for each of which the unit has something of its own; ``edit`` is then told the
            batch's, as ``task``. Defaults to none: it does the same for every task.
        given: What else ``edit`` is told, by keyword. Defaults to nothing.
    """

    tower: str
    depth: int | None
    reads: tuple[Tap, ...]
    write: Tap
    edit: Callable[..., Tensor]
    changes_rows: bool = False
    changes_width: bool = False
    tasks: tuple[str, ...] = ()
    given: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(getattr(self.edit, '__self__', None), nn.Module):
            raise SiteError(f'{self.edit!r} is no method of a module, which the edit of a binding must be')

    @property
    def unit(self) -> nn.Module:
        """The module that edits."""
        return self.edit.__self__

    @property
    def site(self) -> str:
        """Tower, depth, module written and method, for messages."""
        block = '' if self.depth is None else f'.{self.depth}'
        return f'{self.tower}{block}:{self.write.path} ({self.edit.__name__})'


def parameters_of(unit: nn.Module) -> Iterator[nn.Parameter]:
    """A unit's own parameters, and those of modules that it shares with other units: it names them in a tuple
    ``shared``, so that a state dict holds them once.
    """
    yield from unit.parameters()
    for module in getattr(unit, 'shared', ()):
        yield from module.parameters()


def _first(output: Any) -> Tensor:
    """Some libraries' blocks return the stream and more as a tuple."""
    return output[0] if isinstance(output, tuple) else output


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


class _AtTap:
    """A tap's tensor the way methods see it: the part that the tap spans, (B, L, D) where it passes flattened."""

    def __init__(self, tap: Tap) -> None:
        self.tap = tap
        self.lengths: torch.Size | None = None

    def on_shape(self, module: nn.Module, args: tuple, output: Any) -> None:
        self.lengths = _first(output).shape[:2]

    def argument(self, args: tuple, kwargs: dict[str, Any]) -> Tensor | None:
        position = self.tap.argument
        return args[position] if position is not None and len(args) > position else kwargs.get(self.tap.keyword)

    def see(self, whole: Tensor | None) -> Tensor | None:
        if self.tap.shape_of is not None:
            whole = whole.unflatten(0, self.lengths)
        if self.tap.grid:
            whole = whole.flatten(2).transpose(1, 2)
        return whole if self.tap.span is None else whole[..., self.tap.span[0] : self.tap.span[1]]

    def put(self, whole: Tensor, value: Tensor) -> Tensor:
        """What replaces ``whole`` when a method returns ``value`` of what it saw."""
        if self.tap.shape_of is not None:
            value = value.flatten(0, 1)
        if self.tap.grid:
            value = value.transpose(1, 2).unflatten(2, whole.shape[2:])
        if self.tap.span is None:
            return value
        start, stop = self.tap.span
        return torch.cat([whole[..., :start], value, whole[..., stop:]], dim=-1)


class _Capture(_AtTap):
    """Keeps the tensor that last passed a tap."""

    def __init__(self, tap: Tap) -> None:
        super().__init__(tap)
        self.value: Tensor | None = None

    def on_input(self, module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        self.value = self.see(self.argument(args, kwargs))

    def on_output(self, module: nn.Module, args: tuple, output: Any) -> None:
        self.value = self.see(_first(output))


class _Edit(_AtTap):
    """Replaces the tensor at a tap by the unit's result, while the unit's set is the active one."""

    def __init__(self, binding: Binding, captures: list[_Capture], switch: AdapterSwitch, name: str) -> None:
        super().__init__(binding.write)
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
        value = self._edited(self.argument(args, kwargs))
        if value is None:
            return None
        position = self.tap.argument
        if position is not None and len(args) > position:
            return (*args[:position], value, *args[position + 1 :]), kwargs
        return args, {**kwargs, self.tap.keyword: value}

    def on_output(self, module: nn.Module, args: tuple, output: Any) -> Any:
        value = self._edited(_first(output))
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
        return value if dtype is None else value.to(seen.dtype)

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


class _Parts:
    """Edits of different parts of one output, a fused projection's: it is taken apart and put together once for all."""

    def __init__(self, module: nn.Module, edits: list[_Edit]) -> None:
        self.module, self.edits = module, edits

    @staticmethod
    def fits(edit: _Edit) -> bool:
        """Whether an edit is of a part of an output."""
        tap = edit.tap
        plain = tap.shape_of is None and not tap.grid and not edit.changes_rows
        return plain and tap.span is not None and tap.side == 'output'

    def takes(self, edit: _Edit, module: nn.Module) -> bool:
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
        taken = [edit.take() for edit in self.edits]
        if all(reads is None for reads in taken):
            return None
        whole = _first(output)
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


def attached_to(model: nn.Module) -> bool:
    """Whether any module of a model carries the hooks of a method."""
    return any(
        isinstance(getattr(hook, '__self__', None), (_Edit, _Parts, AtCall))
        for module in model.modules()
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    )


class Attachment:
    """The hooks of one method on a set of towers.

    Args:
        bindings: What the method does, in the order in which it acts.
        towers: The towers by name.
        switch: Decides which set acts.
        name: Set that these hooks belong to. Defaults to ``'default'``.
        may_be_empty: Whether there may be no binding at all. Defaults to False.

    Raises:
        SiteError: The method has no binding.
    """

    def __init__(
        self,
        bindings: Iterable[Binding | CallBinding],
        towers: Mapping[str, Tower],
        switch: AdapterSwitch,
        name: str = 'default',
        may_be_empty: bool = False,
    ) -> None:
        self.edits: list[_Edit | AtCall] = []
        self._handles: list = []
        parts: _Parts | None = None
        for binding in bindings:
            tower = towers[binding.tower]
            if isinstance(binding, CallBinding):
                self._around(binding, tower, switch, name)
                continue
            captures = [_Capture(tap) for tap in binding.reads]
            edit = _Edit(binding, captures, switch, name)
            self.edits.append(edit)
            # A tap on the edited module itself always passes right before the edit and needs no reset.
            if any(tap.path != binding.write.path for tap in binding.reads):
                starts = '' if binding.depth is None else tower.blocks[binding.depth].input.path
                first = tower.at(starts)
                self._handles.append(first.register_forward_pre_hook(edit.reset))
            for capture in captures:
                self._hook(tower, capture, capture)
            module = tower.at(binding.write.path)
            if not _Parts.fits(edit):
                self._hook(tower, edit, edit)
                parts = None
            elif parts is not None and parts.takes(edit, module):
                parts.edits.append(edit)
            else:
                parts = _Parts(module, [edit])
                self._hook(tower, edit, parts)
        if not self.edits and not may_be_empty:
            raise SiteError('the method has no site to act on; towers: ' + ', '.join(towers))

    def _around(self, binding: CallBinding, tower: Tower, switch: AdapterSwitch, name: str) -> None:
        """Registers the hooks of a call."""
        module = tower.module.get_submodule(binding.path)
        at = AtCall(binding, module, switch, name)
        self.edits.append(at)
        self._handles.append(module.register_forward_pre_hook(at.on_input, with_kwargs=True))
        self._handles.append(module.register_forward_hook(at.on_output))

    def _hook(self, tower: Tower, at: _AtTap, hook: _Capture | _Edit | _Parts) -> None:
        """Registers a hook at a tap."""
        module = tower.at(at.tap.path)
        if at.tap.side == 'input':
            self._handles.append(module.register_forward_pre_hook(hook.on_input, with_kwargs=True))
        else:
            self._handles.append(module.register_forward_hook(hook.on_output))
        if at.tap.shape_of is not None:
            shaped = tower.at(at.tap.shape_of)
            self._handles.append(shaped.register_forward_hook(at.on_shape))

    def detach(self) -> None:
        """Removes every hook; the backbone is bit-identical to before."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def never_hit(self) -> list[str]:
        """Sites that no forward pass has reached since attaching."""
        return [edit.site for edit in self.edits if edit.hits == 0]
