"""Seeds every epoch from (seed, epoch, rank), so that a resumed run draws what the uninterrupted one would have."""

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import set_random_seed

from vlpeft.registry import HOOKS

# Far apart, so that no epoch of one process repeats an epoch of another.
EPOCH_STRIDE, RANK_STRIDE = 1009, 1000003


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seeds Python, NumPy and torch before each epoch; random states then need no place in checkpoints."""

    priority = 'VERY_HIGH'

    def before_train_epoch(self, runner) -> None:
        set_random_seed((runner.seed + EPOCH_STRIDE * runner.epoch + RANK_STRIDE * get_rank()) % 2**32)
