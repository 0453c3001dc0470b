"""Bindings: what a method does at one place, as it tells it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from .schema import SiteError, Tap


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
    """A unit's own parameters, and those of modules that it, or a module in it, shares with other units: it names them
    in a tuple ``shared``, so that a state dict holds them once.
    """
    yield from unit.parameters()
    for part in unit.modules():
        for module in getattr(part, 'shared', ()):
            yield from module.parameters()
