"""AdamW as transformers had it until version 4.x, with which VL-T5, VL-Adapter and VL-PET were trained.

With gradient g, betas b1 and b2, update t = 1, 2, …, rate r and decay w:

    m ← b1 m + (1 - b1) g        v ← b2 v + (1 - b2) g²
    p ← p - r √(1 - b2^t) / (1 - b1^t) · m / (√v + eps)        eps beside the uncorrected √v
    p ← p - r w p                                               decay after the step, of the new p

torch's AdamW decays first and adds eps to √v / √(1 - b2^t): in the first updates its eps is up to 30 times smaller.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable

import torch
from torch.optim import Optimizer

from vlpeft.registry import OPTIMIZERS


@OPTIMIZERS.register_module()
class HFAdamW(Optimizer):
    """The module's law.

    Args:
        params: Parameters, or groups of them as dicts.
        lr: r. Defaults to 1e-3.
        betas: b1 and b2. Defaults to (0.9, 0.999).
        eps: Defaults to 1e-6.
        weight_decay: w. Defaults to 0.

    Raises:
        ValueError: A negative rate, eps or decay, or a beta outside of [0, 1).
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        for name, value in dict(lr=lr, eps=eps, weight_decay=weight_decay).items():
            if value < 0:
                raise ValueError(f'HFAdamW: {name} must be 0 or more, got {value}')
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f'HFAdamW: betas must be at least 0 and below 1, got {tuple(betas)}')
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure: Callable | None = None) -> float | None:
        """One update of every parameter that has a gradient; returns the closure's loss, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            # All tensors of the same number of updates, mostly all, take a step at once.
            alike: dict[float, list[torch.Tensor]] = defaultdict(list)
            for param in group['params']:
                if param.grad is not None:
                    alike[self._count(param)].append(param)
            for updates, params in alike.items():
                self._update(params, updates, group)
        return loss

    def _count(self, param: torch.Tensor) -> float:
        """The number of the update that a parameter is about to take."""
        state = self.state[param]
        if not state:
            # A tensor, as in torch's optimisers, for sharded checkpoints.
            state.update(step=torch.tensor(0.0), exp_avg=torch.zeros_like(param), exp_avg_sq=torch.zeros_like(param))
        state['step'] += 1
        return state['step'].item()

    def _update(self, params: list[torch.Tensor], updates: float, group: dict) -> None:
        beta1, beta2 = group['betas']
        grads = [param.grad for param in params]
        means, squares = ([self.state[param][name] for param in params] for name in ('exp_avg', 'exp_avg_sq'))
        torch._foreach_mul_(means, beta1)
        torch._foreach_add_(means, grads, alpha=1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, grads, grads, value=1 - beta2)
        roots = torch._foreach_sqrt(squares)
        torch._foreach_add_(roots, group['eps'])
        size = group['lr'] * (1 - beta2**updates) ** 0.5 / (1 - beta1**updates)
        torch._foreach_addcdiv_(params, means, roots, value=-size)
        if group['weight_decay']:
            torch._foreach_mul_(params, 1 - group['lr'] * group['weight_decay'])
