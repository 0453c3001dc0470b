"""Edits of a whole call of a module: its arguments by name on the way in, its output on the way out.

What changes the length of a sequence changes more than one tensor: embeddings, masks, positions and cached keys and
values enter a tower together, and what leaves it has to have the length that the caller knows.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .schema import SiteError, Tap
from .switch import AdapterSwitch, PerSample

Arguments = dict[str, Any]


@dataclass(frozen=True)
class CallBinding:
    """What a method does around the calls of a module of a tower, outside of all blocks.

    Attributes:
        tower: The tower's name.
        path: Of the module, below the tower's root.
        enter: ``enter(module, arguments)``, a method of the adapter's module: from the arguments of a call, by name, to
            those that the module gets.
        leave: ``leave(module, output)``, a method of the same one: from the module's output to what the caller gets.
            Both act in a call or neither does.
    """

    tower: str
    path: str
    enter: Callable[[nn.Module, Arguments], Arguments]
    leave: Callable[[nn.Module, Any], Any]

    def __post_init__(self) -> None:
        owner = getattr(self.enter, '__self__', None)
        if not isinstance(owner, nn.Module) or getattr(self.leave, '__self__', None) is not owner:
            raise SiteError(f'{self.enter!r} and {self.leave!r} are no methods of one module')


class AtCall:
    """The hooks of a call, which act while their set is the active one, whatever the task.

    Args:
        binding: What they do.
        module: The one that is called.
        switch: Which set acts.
        name: The set's.
    """

    tasks: tuple[str, ...] = ()
    served: frozenset[str] = frozenset()

    def __init__(self, binding: CallBinding, module: nn.Module, switch: AdapterSwitch, name: str) -> None:
        self.tower, self.depth, self.tap = binding.tower, None, Tap(binding.path, 'input')
        self.enter, self.leave, self.switch, self.name = binding.enter, binding.leave, switch, name
        self.names = list(inspect.signature(type(module).forward).parameters)[1:]
        self.hits = 0
        self.is_inside = False

    @property
    def unit(self) -> nn.Module:
        """The module that edits."""
        return self.enter.__self__

    @property
    def site(self) -> str:
        """Tower, module and method, for messages."""
        return f'{self.tower}:{self.tap.path or "the tower"} ({type(self.unit).__name__})'

    def on_input(self, module: nn.Module, args: tuple, kwargs: Arguments) -> tuple[tuple, Arguments] | None:
        """Hook on the arguments."""
        # A call that was cut short by an exception has not left.
        self.is_inside = False
        active = self.switch.active
        if isinstance(active, PerSample) and self.name in active.names:
            raise SiteError(f'{self.site} acts on a whole call, so its set cannot be chosen per sample')
        if active != self.name:
            return None
        if not torch.compiler.is_compiling():
            self.hits += 1
        self.is_inside = True
        return (), self.enter(module, {**dict(zip(self.names, args)), **kwargs})

    def on_output(self, module: nn.Module, args: tuple, output: Any) -> Any:
        """Hook on the output."""
        if not self.is_inside:
            return None
        self.is_inside = False
        return self.leave(module, output)
