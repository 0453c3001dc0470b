"""Whether what is declared to train does: a look at the gradients when an optimizer first steps.

Nothing that trains may go unnoticed: an optimizer that holds none of the trained tensors, a tensor that no loss depends
on, one whose gradient is zero in all steps, and one whose gradient is not finite are each named once.
"""

import functools
import warnings
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from vlpeft.sites import parameters_of

#: For so many steps a tensor may wait for another of its module that starts at zero, as in LoRA, where the gradient of
#: one factor is zero as long as the other is.
PATIENCE = 50


class UntrainedError(RuntimeError):
    """A tensor that is declared to train gets no gradient."""


class TrainingCheck:
    """Watches the first steps of whatever optimizer trains.

    Args:
        trained: Yields the name, the parameter and its module for all that is declared to train and is in use.
        parameters: Yields all parameters that are declared to train.
        after: How many steps to look at before judging.
        strict: Whether what is found is an error rather than a warning. Defaults to False.
    """

    def __init__(
        self,
        trained: Callable[[], Iterator[tuple[str, nn.Parameter, nn.Module]]],
        parameters: Callable[[], Iterable[nn.Parameter]],
        after: int,
        strict: bool = False,
    ) -> None:
        self.trained, self.parameters, self.after, self.strict = trained, parameters, after, strict
        self.steps = 0
        # Which parameters are zero before a step that computes its gradients itself.
        self.zeros: set[int] | None = None
        self.moved: set[str] = set()
        self.is_foreign_said = False
        _watch(self)

    def stop(self) -> None:
        """Looks no more."""
        _WATCHING.discard(self)

    def __deepcopy__(self, memo: dict) -> None:
        """A copy of an adapter is not watched."""
        return None

    @torch.no_grad()
    def before_step(self, optimizer: Optimizer, has_closure: bool) -> None:
        """Looks at what an optimizer is about to do; with a closure, as Lightning has one, at what it did."""
        if not has_closure:
            self._look(optimizer, None)
            return
        held = _held(optimizer)
        self.zeros = {id(param) for param in self.parameters() if id(param) in held and not param.any()}

    def after_step(self, optimizer: Optimizer) -> None:
        """Looks at the gradients that the step itself has computed."""
        if self.zeros is not None:
            zeros, self.zeros = self.zeros, None
            self._look(optimizer, zeros)

    def _look(self, optimizer: Optimizer, zeros: Collection[int] | None) -> None:
        held = _held(optimizer)
        trained = list(self.trained())
        mine = [(name, param, module) for name, param, module in trained if id(param) in held]
        if not mine:
            self._foreign([param for _, param, _ in trained])
            return
        self.steps += 1
        faults = self._faults(mine, zeros)
        if self.steps < self.after:
            return
        waiting = faults.pop('waiting')
        if not waiting or self.steps >= self.after + PATIENCE:
            self.stop()
            faults['a gradient of zero in every step'] += waiting
        if any(faults.values()):
            self.stop()
            self._say(faults, len(mine))

    def _foreign(self, trained: list[nn.Parameter]) -> None:
        """Another model's optimizer may step too; it is suspect where a loss has reached the tensors that it lacks."""
        if not self.steps and not self.is_foreign_said and any(param.grad is not None for param in trained):
            self.is_foreign_said = True
            self._report(
                f'an optimizer stepped that holds none of the {len(trained)} tensors that the adapter trains; give it '
                'adapter.parameters()'
            )

    @torch.no_grad()
    def _faults(
        self, mine: list[tuple[str, nn.Parameter, nn.Module]], zeros: Collection[int] | None
    ) -> dict[str, list[str]]:
        def was_zero(param: nn.Parameter) -> bool:
            return not param.any() if zeros is None else id(param) in zeros

        found: dict[str, list[str]] = {
            'no gradient': [],
            'a gradient that is not finite': [],
            'a gradient of zero in every step': [],
            'waiting': [],
        }
        for name, param, module in mine:
            if param.grad is None:
                found['no gradient'].append(name)
            elif not torch.isfinite(param.grad).all():
                found['a gradient that is not finite'].append(name)
            elif name in self.moved or param.grad.any():
                self.moved.add(name)
            elif any(was_zero(other) for other in parameters_of(module) if other is not param):
                found['waiting'].append(name)
            else:
                found['a gradient of zero in every step'].append(name)
        return found

    def _say(self, faults: dict[str, list[str]], count: int) -> None:
        texts = [
            f'{len(names)} with {fault}, such as {", ".join(names[:3])}' for fault, names in faults.items() if names
        ]
        self._report(f'of {count} trained tensors, after {self.steps} steps: {"; ".join(texts)}')

    def _report(self, text: str) -> None:
        if self.strict:
            raise UntrainedError(text)
        warnings.warn(text, stacklevel=2)


def _held(optimizer: Optimizer) -> set[int]:
    return {id(param) for group in optimizer.param_groups for param in group['params']}


#: Checks that still look; they do not keep a model alive that nobody holds.
_WATCHING: weakref.WeakSet[TrainingCheck] = weakref.WeakSet()


@functools.cache
def _hook() -> None:
    """Tells them of every step of every optimizer, once for all: hooks may not come or go while torch runs them."""

    def before_step(optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        has_closure = any(value is not None for value in (*args[1:2], kwargs.get('closure')))
        for check in list(_WATCHING):
            check.before_step(optimizer, has_closure)

    def after_step(optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        for check in list(_WATCHING):
            check.after_step(optimizer)

    register_optimizer_step_pre_hook(before_step)
    register_optimizer_step_post_hook(after_step)


def _watch(check: TrainingCheck) -> None:
    _hook()
    _WATCHING.add(check)
