"""A second pass over the same inputs that reuses what no trained weight had a part in.

A momentum pass differs from the pass before it in the trained weights alone. Up to the first place where one acts, both
compute the same, so the outputs of the modules there are kept from one pass to the other. The modules themselves run
on: hooks act on what is reused as on what is computed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves


class FrozenOutputs:
    """Outputs of the modules of a tower, from one pass to the next.

    Nothing is kept of a pass without gradients, which does not tell what depends on trained weights, nor from the first
    random number on, as dropout draws them: the second pass draws its own.

    Args:
        tower: What runs twice. No trained weight may act in it without letting a gradient through.
    """

    def __init__(self, tower: nn.Module) -> None:
        trained = [name for name, param in tower.named_parameters() if param.requires_grad]
        # Where a method reads inside of a module, the inside must run.
        hooked = [name for name, module in tower.named_modules() if module._forward_hooks or module._forward_pre_hooks]
        holders = {holder for name in [*trained, *filter(None, hooked)] for holder in _holders(name)}
        # What holds no matrix, such as a norm, costs as little to compute as to keep.
        self.modules = [
            module
            for name, module in tower.named_modules()
            if name not in holders and any(param.ndim > 1 for param in module.parameters())
        ]
        self.outputs: dict[nn.Module, tuple[Any, list[int]]] = {}
        self.called: set[nn.Module] = set()
        self.start: list[Tensor] = []

    @contextmanager
    def keep(self) -> Iterator[None]:
        """What runs inside the ``with`` block is the first pass."""
        if not torch.is_grad_enabled():
            yield
            return
        self.start = _random_states()
        with self._in_place_of_forward(self._keep):
            yield
        self.called.clear()

    @contextmanager
    def reuse(self) -> Iterator[None]:
        """What runs inside the ``with`` block is the second pass, with the same inputs; then all is forgotten."""
        try:
            with self._in_place_of_forward(self._reuse):
                yield
        finally:
            self.outputs.clear()

    @contextmanager
    def _in_place_of_forward(self, run: Callable) -> Iterator[None]:
        own = {module: module.__dict__.get('forward') for module in self.modules}
        for module in self.modules:
            module.forward = _Bound(run, module, module.forward)
        try:
            yield
        finally:
            for module, forward in own.items():
                if forward is None:
                    del module.forward
                else:
                    module.forward = forward

    def _keep(self, module: nn.Module, forward: Callable, args: tuple, kwargs: dict) -> Any:
        output = forward(*args, **kwargs)
        # Of what is called several times, no one could tell which output is which.
        again = module in self.called
        self.called.add(module)
        self.outputs.pop(module, None)
        tensors = _tensors(output)
        if (
            not again
            and not self._has_drawn()
            and not any(tensor.requires_grad for tensor in [*tensors, *_tensors((args, kwargs))])
        ):
            for inside in module.modules():
                self.outputs.pop(inside, None)
            self.outputs[module] = output, [tensor._version for tensor in tensors]
        return output

    def _has_drawn(self) -> bool:
        return any(not torch.equal(old, new) for old, new in zip(self.start, _random_states(), strict=True))

    def _reuse(self, module: nn.Module, forward: Callable, args: tuple, kwargs: dict) -> Any:
        output, versions = self.outputs.pop(module, (None, None))
        # What was changed in place since is computed anew.
        if versions is None or versions != [tensor._version for tensor in _tensors(output)]:
            return forward(*args, **kwargs)
        return output


class _Bound:
    """A module's forward with what takes its place."""

    def __init__(self, run: Callable, module: nn.Module, forward: Callable) -> None:
        self.run, self.module, self.forward = run, module, forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.run(self.module, self.forward, args, kwargs)


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def _holders(name: str) -> Iterator[str]:
    """Names of the modules that hold a parameter or module; '' for the root."""
    parts = name.split('.')
    return ('.'.join(parts[:count]) for count in range(len(parts)))


def _random_states() -> list[Tensor]:
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if torch.cuda.is_initialized() else ())]
