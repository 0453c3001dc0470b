"""What is looked at whenever a tower runs, so that a model in use takes its methods along."""

from collections.abc import Mapping

import torch
from torch import nn

from vlpeft.sites import AdapterSwitch, SiteError, Tower


class _BeforeTower:
    """Runs before each pass of a tower; an object rather than a closure so that deepcopy carries it along."""

    def __init__(self, tower: Tower, switch: AdapterSwitch, sets: nn.ModuleDict) -> None:
        self.tower, self.switch, self.sets = tower, switch, sets

    def check(self, module: nn.Module, args: tuple) -> None:
        if torch.compiler.is_compiling():
            return
        for name, adapter in self.sets.items():
            if adapter.training != module.training:
                adapter.train(module.training)
            self._check_device(name, adapter)
        if module.training and torch.is_grad_enabled():
            for part in (module, self.tower.block_modules[0]):
                self._check_checkpointing(part)

    def _check_device(self, name: str, adapter: nn.Module) -> None:
        own, base = (next(part.parameters(), None) for part in (adapter, self.tower.module))
        if own is not None and own.device != base.device:
            device = str(base.device)
            raise SiteError(
                f'set {name!r} is on {own.device}, the model on {device}; move both with adapter.to({device!r})'
            )

    def _check_checkpointing(self, part: nn.Module) -> None:
        """transformers' own recomputation: see :meth:`AttachedAdapter.gradient_checkpointing_enable`."""
        if not getattr(part, 'gradient_checkpointing', False):
            return
        options = getattr(getattr(part, '_gradient_checkpointing_func', None), 'keywords', {})
        if options.get('use_reentrant') is not False or 'context_fn' not in options:
            raise SiteError(
                'gradient checkpointing was enabled on the model in a form that gives adapters no gradient or forgets '
                'which set acts; enable it with adapter.gradient_checkpointing_enable()'
            )


class TowerChecks:
    """Follows the mode of each tower, and refuses what would train nothing or fail deep inside.

    Args:
        towers: By name.
        switch: That of the sets.
        sets: The methods by the names of their sets, which may change.
    """

    def __init__(self, towers: Mapping[str, Tower], switch: AdapterSwitch, sets: nn.ModuleDict) -> None:
        self.handles = [
            tower.module.register_forward_pre_hook(_BeforeTower(tower, switch, sets).check) for tower in towers.values()
        ]

    def remove(self) -> None:
        """Looks no more."""
        for handle in self.handles:
            handle.remove()
        self.handles = []
