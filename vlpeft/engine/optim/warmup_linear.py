"""A linear warm-up from zero, then a linear decay to zero: the schedule of VL-T5, VL-Adapter and VL-PET.

With T iterations in the run, W of them warm-up, and a group's rate r, iteration k = 0, 1, … has the rate

    r k / W    for k < W        r (T - k) / (T - W)    for W <= k <= T

so that k is also the number of updates made before it. MMEngine's LinearLR cannot start at zero, reaches the end of
each of its two parts one iteration early, and cannot join an end in epochs to a warm-up in iterations.
"""

from mmengine.optim import BaseOptimWrapper
from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler

from vlpeft.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class WarmupLinear(LRSchedulerMixin, _ParamScheduler):
    """The module's law, for every group of parameters with its own rate r.

    In a config, ``dict(type='WarmupLinear', warmup_ratio=0.1, by_epoch=True, convert_to_iter_based=True)`` takes the
    run's length for T; ``dict(type='WarmupLinear', warmup_iters=500, by_epoch=False)`` does so in training that counts
    iterations. Iterations count whether or not they update, so under accumulation of gradients the schedule still ends
    with the run.

    Args:
        optimizer: The optimiser's wrapper.
        end: Iterations T; epochs where the config counts those.
        warmup_iters: Iterations W. Defaults to None.
        warmup_epochs: W in epochs, rounded to iterations. Only where the config counts epochs. Defaults to None.
        warmup_ratio: W = ⌊warmup_ratio · T⌋. Defaults to None.
        by_epoch: Must be False here: the law counts iterations. Defaults to True, as in MMEngine's schedulers.

    Raises:
        ValueError: Not exactly one length of the warm-up, a negative or broken number of iterations, a ratio above 1,
            or ``by_epoch=True`` without ``convert_to_iter_based=True``.
    """

    def __init__(
        self,
        optimizer: BaseOptimWrapper,
        end: int,
        warmup_iters: int | None = None,
        warmup_epochs: float | None = None,
        warmup_ratio: float | None = None,
        by_epoch: bool = True,
    ) -> None:
        if by_epoch:
            raise ValueError(
                'WarmupLinear counts iterations: add convert_to_iter_based=True to by_epoch=True, or set by_epoch=False'
            )
        if warmup_epochs is not None:
            raise ValueError('WarmupLinear(warmup_epochs=…) needs by_epoch=True, convert_to_iter_based=True')
        _check(warmup_iters=warmup_iters, warmup_ratio=warmup_ratio)
        self.total = end
        self.warmup = int(warmup_ratio * end) if warmup_iters is None else warmup_iters
        # The rate of T, zero, also belongs to whatever comes after it.
        super().__init__(optimizer, end=end + 1, by_epoch=False)

    @classmethod
    def build_iter_from_epoch(
        cls,
        *args,
        end: int,
        epoch_length: int,
        warmup_iters: int | None = None,
        warmup_epochs: float | None = None,
        warmup_ratio: float | None = None,
        by_epoch: bool = True,
        **kwargs,
    ) -> 'WarmupLinear':
        """Build from a configuration that counts epochs; ``epoch_length`` is in iterations."""
        _check(warmup_iters=warmup_iters, warmup_epochs=warmup_epochs, warmup_ratio=warmup_ratio)
        if warmup_epochs is not None:
            warmup_iters = round(warmup_epochs * epoch_length)
        return cls(
            *args,
            end=end * epoch_length,
            warmup_iters=warmup_iters,
            warmup_ratio=warmup_ratio,
            by_epoch=False,
            **kwargs,
        )

    @property
    def full_rate_at(self) -> int:
        """First iteration that has the groups' own rates."""
        return self.warmup

    def _get_value(self) -> list[float]:
        k = self.last_step
        # A warm-up as long as the run, or longer, leaves nothing to decay over.
        factor = k / self.warmup if k < self.warmup else max(self.total - k, 0) / max(self.total - self.warmup, 1)
        return [base * factor for base in self.base_values]


def _check(**lengths: float | None) -> None:
    given = {name: value for name, value in lengths.items() if value is not None}
    if len(given) != 1:
        raise ValueError(f'WarmupLinear takes one of {", ".join(lengths)}; got {given or "none"}')
    ((name, value),) = given.items()
    valid = dict(warmup_iters='a whole number, 0 or more', warmup_epochs='0 or more', warmup_ratio='between 0 and 1')
    if value < 0 or name == 'warmup_ratio' and value > 1 or name == 'warmup_iters' and value != int(value):
        raise ValueError(f'WarmupLinear: {name} must be {valid[name]}, got {value}')
