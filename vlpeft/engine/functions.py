"""Functions that configs name."""

from vlpeft.registry import FUNCTIONS


@FUNCTIONS.register_module()
def seed_workers_by_epoch(worker_id: int, **kwargs) -> None:
    """Leaves data workers the seeds that torch draws for them each epoch from the main process.

    MMEngine's default gives a worker the same seed in every epoch, so each epoch would repeat the augmentations of
    the first; with :class:`EpochSeedHook` torch's own differ by epoch and process, and a resumed run repeats them.
    """
