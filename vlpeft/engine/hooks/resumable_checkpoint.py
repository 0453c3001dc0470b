"""Checkpoints that are whole or not there, from which a run goes on as if it had not stopped: when, which, where."""

import re
import time
from collections import deque
from pathlib import Path

import torch
from mmengine.dist import all_gather_object, broadcast, get_world_size, is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import IterBasedTrainLoop

from vlpeft.atomic import write_atomically
from vlpeft.checkpoint import CheckpointError
from vlpeft.checkpoint.manifest import manifest_of, remove_with_manifest, write_with_manifest
from vlpeft.checkpoint.report import shorten
from vlpeft.checkpoint.scheme import SCHEME
from vlpeft.engine.console import FOR_PEOPLE
from vlpeft.engine.finite import nonfinite_trained
from vlpeft.engine.position import KEY, Position, resume_at
from vlpeft.engine.task_model import task_model
from vlpeft.engine.work_folder import POINTER, SAVED_AT

#: Arguments of MMEngine's file functions for writing whole files or none.
ATOMIC = dict(backend='vlpeft_atomic')
#: Iterations between two looks at the clock, of which all processes must hear.
CLOCK_EVERY = 10


@register_backend(ATOMIC['backend'], force=True)
class AtomicLocalBackend(LocalBackend):
    """Local files that are either the old or the new version, never a part, with a manifest."""

    def put(self, obj: bytes, filepath: str) -> None:
        write_with_manifest(filepath, lambda part: Path(part).write_bytes(obj), obj)


class ResumableCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``, made safe. What a checkpoint holds of the model is up to its subclass.

    A checkpoint records where the run stands (:class:`~vlpeft.engine.position.Position`), so that a resumed run
    ends like the uninterrupted one. ``epoch_N.pth`` is written before epoch N is validated, so that no epoch is lost,
    and again if that made it the best; a run resumed at one that waits for its validation begins with it. A new best
    file is complete before the old one goes. Only files that a run of vlpeft wrote into this work folder are removed.

    Args:
        minutes: Also saves when this many minutes have passed since the last checkpoint, as ``iter_N.pth``, of which
            the newest stays until the next regular checkpoint. Defaults to None.
        **kwargs: Of MMEngine's ``CheckpointHook``.
    """

    def __init__(self, minutes: float | None = None, **kwargs) -> None:
        super().__init__(backend_args=ATOMIC, **kwargs)
        self.minutes = minutes
        self.training = self.due = self.wanted = False
        self.position: Position | None = None
        self.at: dict[str, int] = {}
        self.saved_at = time.monotonic()
        self.saved_iter: int | None = None

    def before_train(self, runner) -> None:
        """MMEngine's; what a checkpoint names outside of the work folder is left alone.

        Raises:
            CheckpointError: Processes stand at different places: a machine does not see the checkpoint.
        """
        places = all_gather_object((runner.epoch, runner.iter))
        if len(set(places)) > 1:
            raise CheckpointError(
                f'the processes begin at different (epoch, iteration): {sorted(set(places))}; '
                'all machines must see the same work folder and checkpoint'
            )
        info, limit = runner.message_hub.runtime_info, self.max_keep_ckpts
        kept = [step for step in info.get('keep_ckpt_ids', []) if isinstance(step, int)]
        info['keep_ckpt_ids'] = []
        super().before_train(runner)
        info['keep_ckpt_ids'], self.keep_ckpt_ids = kept, deque(kept)
        self.training = True
        if runner._resume and Path(self.last_ckpt).resolve().parent == Path(self.out_dir).resolve():
            self.saved_iter = runner.iter
        if self.save_best:
            self._set_best({key: self._here(runner, path) for key, path in self._best().items()})
        if runner._resume and is_main_process():
            self._remove_leftovers(runner, limit)

    def after_train_epoch(self, runner) -> None:
        """Saves at the end of an epoch."""
        if self.by_epoch and (
            self.every_n_epochs(runner, self.interval, self.save_begin)
            or self.save_last
            and self.is_last_train_epoch(runner)
        ):
            step = runner.epoch + 1
            runner.logger.info(f'Saving checkpoint at {step} epochs')
            self._stand(runner, dict(epoch=step, iter=runner.iter), 0, runner.train_loop.validates_after(step))
            self._save_checkpoint_with_step(runner, step, self.at)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Saves after an iteration; between two updates with accumulated gradients it waits for the second."""
        if not self.by_epoch and (
            self.every_n_train_iters(runner, self.interval, self.save_begin)
            or self.save_last
            and self.is_last_train_iter(runner)
        ):
            self.due = True
        elif self.minutes is not None and (runner.iter + 1) % CLOCK_EVERY == 0:
            self.wanted |= _of_main_process(time.monotonic() - self.saved_at > 60 * self.minutes)
        if (self.due or self.wanted) and runner.optim_wrapper.should_update():
            self.save_within(runner)

    def save_within(self, runner) -> bool:
        """Saves after the running iteration, as ``iter_N.pth``; all processes call it in the same ``after_train_iter``.

        Returns:
            Whether it did. The end of an epoch is saved after the epoch (:meth:`save_after_epoch`).
        """
        due, self.due, self.wanted = self.due, False, False
        loop, step = runner.train_loop, runner.iter + 1
        if self.saved_iter == step:
            return True
        by_iter = isinstance(loop, IterBasedTrainLoop)
        if self.by_epoch and not by_iter and loop.batch == len(loop.dataloader):
            return False
        runner.logger.info(f'Saving checkpoint at {step} iterations')
        self._stand(runner, dict(epoch=runner.epoch, iter=step), loop.batch, by_iter and loop.validates_after(step))
        if due:
            self._save_checkpoint_with_step(runner, step, self.at)
        else:
            self._write_within(runner, step)
        return True

    def save_after_epoch(self, runner) -> None:
        """Saves an epoch that ``interval`` leaves out, as ``iter_N.pth``.

        All processes call it in ``after_train_epoch``.
        """
        if not self.is_saved(runner):
            epoch = runner.epoch + 1
            self._stand(runner, dict(epoch=epoch, iter=runner.iter), 0, runner.train_loop.validates_after(epoch))
            self._write_within(runner, runner.iter)

    def is_saved(self, runner) -> bool:
        """Whether the work folder has a checkpoint of what the run has done up to now."""
        return self.saved_iter == runner.iter

    def after_val_epoch(self, runner, metrics: dict) -> None:
        """Saves the best; and the last checkpoint anew if it is the best, or the last of the run."""
        if not self.training:
            return
        self._stand(runner, dict(epoch=runner.epoch, iter=runner.iter), runner.train_loop.batch, False)
        former = self._best() if self.save_best else {}
        # MMEngine would remove the old file before it writes the new one, and write that of an epoch that is not
        # saved.
        self._set_best(dict.fromkeys(former))
        last, self.last_ckpt = self.last_ckpt, None
        super().after_val_epoch(runner, metrics)
        self.last_ckpt = last
        better = {key: path for key, path in self._best().items() if path} if self.save_best else {}
        self._set_best({**former, **better})
        for path in {former.get(key) for key in better} - set(better.values()) - {None}:
            self._remove(Path(path))
        if self.is_saved(runner) and (better or runner.iter == runner.train_loop.max_iters):
            self._save_anew(runner)

    def after_train(self, runner) -> None:
        """MMEngine's."""
        self.training = False
        super().after_train(runner)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Adds where the run stands."""
        # FlexibleRunner counts one epoch or iteration too many after a validation.
        checkpoint['meta'].update(self.at)
        checkpoint['meta'][SAVED_AT] = time.time()
        if 'optimizer' in checkpoint:
            checkpoint[KEY] = self.position._asdict()

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Lets a resumed run go on where the checkpoint stood."""
        # MMEngine would run it as a program.
        checkpoint.get('meta', {}).pop('config', None)
        if runner._resume:
            origin = origin_of(runner)
            resume_at(runner, checkpoint, origin)
            self.last_ckpt = origin

    # Writing and removing files.

    def _stand(self, runner, at: dict[str, int], batch: int, validation_due: bool) -> None:
        """Notes what the next checkpoints are checkpoints of.

        Raises:
            CheckpointError: It cannot be a checkpoint of anything: a trained tensor is not finite.
        """
        model = task_model(runner)
        if names := nonfinite_trained(model):
            raise CheckpointError(
                f'no checkpoint of epoch {at["epoch"]}, iteration {at["iter"]} is written, and those '
                f'of {self.out_dir} stay: {len(names)} trained tensors are not finite: ' + shorten(names)
            )
        self.at = at
        self.position = Position.of(runner, batch, validation_due)

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        """The regular file of an epoch or iteration; it is complete before the oldest goes."""
        surplus = []
        if self.max_keep_ckpts > 0:
            if step not in self.keep_ckpt_ids:
                self.keep_ckpt_ids.append(step)
            while len(self.keep_ckpt_ids) > self.max_keep_ckpts:
                surplus.append(self.keep_ckpt_ids.popleft())
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        within = runner.message_hub.runtime_info.get('within')
        runner.message_hub.update_info('within', None)
        self._write(runner, self.filename_tmpl.format(step))
        for name in map(self.filename_tmpl.format, surplus):
            self._remove(Path(self.out_dir, name))
        self._remove_within(within)

    def _save_anew(self, runner) -> None:
        """The last checkpoint."""
        if runner.message_hub.runtime_info.get('within') == runner.iter:
            self._write_within(runner, runner.iter)
        else:
            self._save_checkpoint_with_step(runner, runner.epoch if self.by_epoch else runner.iter, self.at)

    def _write(self, runner, name: str) -> None:
        self.last_ckpt = str(Path(self.out_dir, name))
        runner.message_hub.update_info('last_ckpt', name)
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=dict(self.at),
            by_epoch=self.by_epoch,
            backend_args=ATOMIC,
            **self.args,
        )
        self.saved_at, self.saved_iter = time.monotonic(), self.at['iter']
        if is_main_process():
            write_atomically(Path(runner.work_dir, POINTER), lambda part: Path(part).write_text(name))

    def _write_within(self, runner, step: int) -> None:
        """A file that stays until the next checkpoint."""
        former = runner.message_hub.runtime_info.get('within')
        runner.message_hub.update_info('within', step)
        self._write(runner, _within(step))
        if former != step:
            self._remove_within(former)

    def _remove(self, path: Path) -> None:
        """Removes a checkpoint that a run of vlpeft wrote into this work folder; any other stays."""
        ours = path.parent.resolve() == Path(self.out_dir).resolve() and manifest_of(path).is_file()
        if ours and is_main_process():
            remove_with_manifest(path)

    def _remove_within(self, step: int | None) -> None:
        if isinstance(step, int):
            self._remove(Path(self.out_dir, _within(step)))

    def _remove_leftovers(self, runner, limit: int) -> None:
        """Of a run that was killed between writing a file and removing the one before."""
        folder, step = Path(self.out_dir), runner.epoch if self.by_epoch else runner.iter
        names = re.compile(re.escape(self.filename_tmpl).replace(r'\{\}', r'(\d+)'))
        for path in folder.glob('*.pth') if limit > 0 else ():
            match = names.fullmatch(path.name)
            if match and int(match[1]) < step and int(match[1]) not in self.keep_ckpt_ids:
                self._remove(path)
        for key, best in (self._best() if self.save_best else {}).items():
            for path in folder.glob(f'best_{key}_*.pth'.replace('/', '_')) if best else ():
                if path.name != Path(best).name:
                    self._remove(path)

    # The paths of best files, of one metric or several, as MMEngine keeps them.

    def _best(self) -> dict[str, str | None]:
        if len(self.key_indicators) == 1:
            return {self.key_indicators[0]: self.best_ckpt_path}
        return dict(self.best_ckpt_path_dict)

    def _set_best(self, paths: dict[str, str | None]) -> None:
        if len(paths) == 1:
            (self.best_ckpt_path,) = paths.values()
        elif paths:
            self.best_ckpt_path_dict = paths

    def _here(self, runner, path: str | None) -> str | None:
        """A best file in this work folder; that of a folder from which the run was resumed stays what it is."""
        here = Path(self.out_dir, Path(path).name) if path else None
        if here is None or here.is_file():
            return here and str(here)
        text = f'the best checkpoint so far, {path}, is not in {self.out_dir} and stays where it is'
        runner.logger.info(text, extra=FOR_PEOPLE)
        return None


def origin_of(runner) -> str:
    """What the runner loads, for messages."""
    return str(runner._load_from or 'the resumed checkpoint').removeprefix(SCHEME)


def _within(step: int) -> str:
    return f'iter_{step}.pth'


def _of_main_process(value: bool) -> bool:
    """What the main process says, in all of them."""
    flag = torch.tensor(int(value))
    if get_world_size() > 1:
        broadcast(flag)
    return bool(flag)
