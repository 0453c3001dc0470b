"""Attaching with the backbone left as it is: forward hooks that read tensors at some taps of a block and edit another.

Hooks are bound methods of plain objects that hold the adapter module, so ``copy.deepcopy`` of a model carries them
along, and no submodule is added to the backbone, so its state-dict keys never change.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import torch._dynamo.config as dynamo_config
from torch import nn

from .bindings import Binding
from .calls import AtCall, CallBinding
from .edits import Edit, Parts
from .schema import SiteError, Tower
from .switch import AdapterSwitch
from .taps import AtTap, Capture

# By default compiled modules do not notice hooks that come or go later: one could run without its adapter.
dynamo_config.skip_nnmodule_hook_guards = False


def attached_to(model: nn.Module) -> bool:
    """Whether any module of a model carries the hooks of a method."""
    return any(
        isinstance(getattr(hook, '__self__', None), (Edit, Parts, AtCall))
        for module in model.modules()
        for hook in _hooks_of(module)
    )


def _hooks_of(module: nn.Module) -> Iterator[Callable]:
    yield from module._forward_hooks.values()
    yield from module._forward_pre_hooks.values()


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
        self.edits: list[Edit | AtCall] = []
        self._handles: list = []
        #: What edits, and where it is hooked.
        self._places: list[tuple[Tower, str, Edit | Parts | AtCall]] = []
        parts: Parts | None = None
        for binding in bindings:
            tower = towers[binding.tower]
            if isinstance(binding, CallBinding):
                self._around(binding, tower, switch, name)
                continue
            captures = [Capture(tap, tower.changes_in_place) for tap in binding.reads]
            edit = Edit(binding, captures, switch, name, tower.packed)
            self.edits.append(edit)
            # A tap on the edited module itself always passes right before the edit and needs no reset.
            if any(tap.path != binding.write.path for tap in binding.reads):
                starts = '' if binding.depth is None else tower.blocks[binding.depth].input.path
                first = tower.at(starts)
                self._handles.append(first.register_forward_pre_hook(edit.reset))
            for capture in captures:
                self._hook(tower, capture, capture)
            module = tower.at(binding.write.path)
            if not Parts.fits(edit):
                self._hook(tower, edit, edit)
                parts = None
            elif parts is not None and parts.takes(edit, module):
                parts.edits.append(edit)
            else:
                parts = Parts(module, [edit])
                self._hook(tower, edit, parts)
        if not self.edits and not may_be_empty:
            raise SiteError('the method has no site to act on; towers: ' + ', '.join(towers))

    def _around(self, binding: CallBinding, tower: Tower, switch: AdapterSwitch, name: str) -> None:
        """Registers the hooks of a call."""
        module = tower.module.get_submodule(binding.path)
        at = AtCall(binding, module, switch, name)
        self.edits.append(at)
        self._places.append((tower, binding.path, at))
        self._handles.append(module.register_forward_pre_hook(at.on_input, with_kwargs=True))
        self._handles.append(module.register_forward_hook(at.on_output))

    def _hook(self, tower: Tower, at: AtTap, hook: Capture | Edit | Parts) -> None:
        """Registers a hook at a tap."""
        module = tower.at(at.tap.path)
        if not isinstance(hook, Capture):
            self._places.append((tower, at.tap.path, hook))
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
        self._handles, self._places = [], []

    def check_hooks(self) -> None:
        """Refuses modules that were put in the place of those that the method acts on.

        Raises:
            SiteError: Names one: the method does not act there any more, or a copy of it does.
        """
        for tower, path, hook in self._places:
            if not any(getattr(own, '__self__', None) is hook for own in _hooks_of(tower.at(path))):
                raise SiteError(
                    f'{path} of tower "{tower.name}" is not the module that the method was attached to; detach the '
                    'adapter before modules are replaced, and attach it again'
                )

    def never_hit(self) -> list[str]:
        """Sites that no forward pass has reached since attaching."""
        return [edit.site for edit in self.edits if edit.hits == 0]
