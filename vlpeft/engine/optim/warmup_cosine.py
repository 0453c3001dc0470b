"""Warm-up by steps within the first epoch, then a cosine by epochs; some groups may keep their rate.

eP-ALM's schedule (Shukor et al., ICCV 2023). With E epochs, group rate r, warm-up rate w, lowest rate m and S steps,
one every I iterations, iteration t of the first epoch and epoch n have the rates

    t:  w + (r - w) min(S, floor(max(t - 1, 0) / I)) / S        n > 0:  m + (r - m) (1 + cos(pi n / E)) / 2

MMEngine's LinearLR followed by CosineAnnealingLR is another law where the first epoch has less than S I iterations, as
in few-shot runs: there the warm-up goes on into the cosine, here it ends with the epoch.
"""

import math

from mmengine.optim import BaseOptimWrapper
from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler

from vlpeft.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(LRSchedulerMixin, _ParamScheduler):
    """The module's law, for every group of parameters with its own rate r.

    Groups with ``scheduled=False`` keep r for the whole run. They come from the optimiser's configuration:
    ``paramwise_cfg=dict(custom_keys=dict(prompt=dict(lr_mult=0.5, scheduled=False)))``. The law is a function of the
    iteration alone, so a resumed run goes on exactly. In a config the epoch's length is filled in:
    ``dict(type='WarmupCosineLR', warmup_lr=1e-5, min_lr=1e-6, end=8, by_epoch=True, convert_to_iter_based=True)``.

    Args:
        optimizer: The optimiser's wrapper.
        warmup_lr: Rate w at the start, of every group.
        min_lr: Rate m that the cosine goes to.
        end: Epochs E.
        epoch_length: Iterations of an epoch.
        warmup_steps: Steps S of the warm-up. Defaults to 4.
        warmup_interval: Iterations I between them. Defaults to 100.
    """

    def __init__(
        self,
        optimizer: BaseOptimWrapper,
        warmup_lr: float,
        min_lr: float,
        end: int,
        epoch_length: int,
        warmup_steps: int = 4,
        warmup_interval: int = 100,
    ) -> None:
        self.warmup_lr, self.min_lr = warmup_lr, min_lr
        self.epochs, self.epoch_length = end, epoch_length
        self.warmup_steps, self.warmup_interval = warmup_steps, warmup_interval
        super().__init__(optimizer, end=end * epoch_length, by_epoch=False)

    @classmethod
    def build_iter_from_epoch(cls, *args, by_epoch: bool = True, **kwargs) -> 'WarmupCosineLR':
        """Build from a configuration that counts epochs."""
        return cls(*args, **kwargs)

    @property
    def full_rate_at(self) -> int:
        """First iteration that has the groups' own rates, if the first epoch goes on to it."""
        return 1 + self.warmup_steps * self.warmup_interval

    def _get_value(self) -> list[float]:
        return [
            self._rate(base) if group.get('scheduled', True) else base
            for group, base in zip(self.optimizer.param_groups, self.base_values)
        ]

    def _rate(self, base: float) -> float:
        epoch = self.last_step // self.epoch_length
        if epoch == 0:
            step = min(self.warmup_steps, max(self.last_step - 1, 0) // self.warmup_interval)
            return self.warmup_lr + (base - self.warmup_lr) * step / self.warmup_steps
        return self.min_lr + (base - self.min_lr) * (1 + math.cos(math.pi * epoch / self.epochs)) / 2
