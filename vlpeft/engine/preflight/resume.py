"""Whether a run that is to be resumed has anything left to do."""

from pathlib import Path

from mmengine.config import Config

from vlpeft.checkpoint.files import read_checkpoint
from vlpeft.engine.position import Position


def finished_run(cfg: Config) -> str | None:
    """What to say of a run with ``resume`` whose checkpoint has done all of its training and the last validation.

    Args:
        cfg: Full config; ``load_from`` is the checkpoint to go on from.

    Returns:
        None if there is something to do, or no checkpoint file.

    Raises:
        CheckpointError: The checkpoint cannot be read.
    """
    path = cfg.get('load_from')
    if path is None or '://' in str(path) or not Path(path).is_file():
        return None
    checkpoint = read_checkpoint(path)
    position = Position.read(checkpoint)
    if position is not None and position.validation_due:
        return None
    meta = checkpoint.get('meta') or {}
    for done, limit in (('epoch', 'max_epochs'), ('iter', 'max_iters')):
        most = cfg.train_cfg.get(limit)
        if most is not None and done in meta and meta[done] >= most:
            return (
                f'{path} has done {meta[done]} of {most} {done}s: the run is finished. Raise train_cfg.{limit} to '
                'go on, or test it with tools/test.py.'
            )
    return None
