"""Attaching without surgery: forward hooks that read tensors at some taps of a block and edit another.

Hooks are bound methods of plain objects that hold the adapter module, so ``copy.deepcopy`` of a model carries them
along, and no submodule is added to the backbone, so its state-dict keys never change.
"""

from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

import torch
import torch._dynamo.config as dynamo_config
from torch import Tensor, nn

from .schema import SiteError, Tap, Tower
from .switch import AdapterSwitch

# By default compiled modules do not notice hooks that come or go later: one could run without its adapter.
dynamo_config.skip_nnmodule_hook_guards = False


@dataclass(frozen=True)
class Binding:
    """What a method does at one place.

    ``unit.<method>(value, *reads)`` receives the tensor at ``write`` and those at ``reads`` (None where the pass did
    not reach them) and returns the new value. It is not called in a pass that reaches none of its reads, such as
    those at a cross-attention in a text-only pass.

    Attributes:
        tower: The tower's name.
        depth: The block's index in it.
        reads: Taps captured earlier in the same block.
        write: The tap whose tensor is replaced.
        unit: The adapter's module.
        method: Name of its method.
    """
    tower: str
    depth: int
    reads: Tuple[Tap, ...]
    write: Tap
    unit: nn.Module
    method: str

    @property
    def site(self) -> str:
        return f'{self.tower}.{self.depth}:{self.write.path} ({self.method})'


def _first(output: Any) -> Tensor:
    """Some libraries' blocks return the stream and more as a tuple."""
    return output[0] if isinstance(output, tuple) else output


def _narrow(value: Tensor, tap: Tap) -> Tensor:
    return value if tap.span is None else value[..., tap.span[0]:tap.span[1]]


class _Capture:
    """Keeps the tensor that last passed a tap."""

    def __init__(self, tap: Tap) -> None:
        self.tap = tap
        self.value: Optional[Tensor] = None

    def on_input(self, module: nn.Module, args: tuple, kwargs: Dict[str, Any]) -> None:
        position = self.tap.argument
        self.value = _narrow(args[position] if len(args) > position else kwargs.get(self.tap.keyword), self.tap)

    def on_output(self, module: nn.Module, args: tuple, output: Any) -> None:
        self.value = _narrow(_first(output), self.tap)


class _Edit:
    """Replaces the tensor at a tap by the unit's result, while the unit's set is the active one."""

    def __init__(self, binding: Binding, captures: List[_Capture], switch: AdapterSwitch, name: str) -> None:
        self.site, self.tower, self.tap = binding.site, binding.tower, binding.write
        self.unit, self.method = binding.unit, binding.method
        self.captures, self.switch, self.name = captures, switch, name
        self.hits = 0

    def reset(self, module: nn.Module, args: tuple) -> None:
        """A pass that was cut short (an early-stopped recomputation, an exception) must not leak into the next."""
        for capture in self.captures:
            capture.value = None

    def on_input(self, module: nn.Module, args: tuple, kwargs: Dict[str, Any]) -> Optional[Tuple[tuple, dict]]:
        position, keyword = self.tap.argument, self.tap.keyword
        if len(args) > position:
            value = self._edited(args[position])
            return None if value is None else ((*args[:position], value, *args[position + 1:]), kwargs)
        value = self._edited(kwargs[keyword])
        return None if value is None else (args, {**kwargs, keyword: value})

    def on_output(self, module: nn.Module, args: tuple, output: Any) -> Any:
        value = self._edited(_first(output))
        if value is None:
            return None
        return (value, *output[1:]) if isinstance(output, tuple) else value

    def _edited(self, whole: Tensor) -> Optional[Tensor]:
        """What replaces ``whole``, or None where it stays."""
        reads = [capture.value for capture in self.captures]
        for capture in self.captures:
            capture.value = None
        if self.switch.active != self.name or (reads and all(read is None for read in reads)):
            return None
        if not torch.compiler.is_compiling():
            self.hits += 1
        value = getattr(self.unit, self.method)(_narrow(whole, self.tap), *reads)
        if self.tap.span is not None:
            start, stop = self.tap.span
            value = torch.cat([whole[..., :start], value, whole[..., stop:]], dim=-1)
        return value


class Attachment:
    """The hooks of one method on a set of towers.

    Args:
        bindings: What the method does, in the order in which it acts.
        towers: The towers by name.
        switch: Decides which set acts.
        name: Set that these hooks belong to. Defaults to ``'default'``.

    Raises:
        SiteError: The method has no binding at all.
    """

    def __init__(self,
                 bindings: Iterable[Binding],
                 towers: Mapping[str, Tower],
                 switch: AdapterSwitch,
                 name: str = 'default') -> None:
        self.edits: List[_Edit] = []
        self._handles: list = []
        for binding in bindings:
            tower = towers[binding.tower]
            captures = [_Capture(tap) for tap in binding.reads]
            edit = _Edit(binding, captures, switch, name)
            # A tap on the edited module itself always passes right before the edit and needs no reset.
            if any(tap.path != binding.write.path for tap in binding.reads):
                first = tower.module.get_submodule(tower.blocks[binding.depth].input.path)
                self._handles.append(first.register_forward_pre_hook(edit.reset))
            for hook in (*captures, edit):
                module = tower.module.get_submodule(hook.tap.path)
                if hook.tap.side == 'input':
                    handle = module.register_forward_pre_hook(hook.on_input, with_kwargs=True)
                else:
                    handle = module.register_forward_hook(hook.on_output)
                self._handles.append(handle)
            self.edits.append(edit)
        if not self.edits:
            raise SiteError('the method has no site to act on; towers: ' + ', '.join(towers))

    def detach(self) -> None:
        """Removes every hook; the backbone is bit-identical to before."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def never_hit(self) -> List[str]:
        """Sites that no forward pass has reached since attaching."""
        return [edit.site for edit in self.edits if edit.hits == 0]
