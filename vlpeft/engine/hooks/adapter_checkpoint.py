"""Checkpoints of what was trained only, written atomically; loading checks the base under them."""

import os
import tempfile
from typing import Optional

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, FlexibleRunner

from vlpeft.checkpoint import CheckpointError
from vlpeft.checkpoint.coverage import by_part, random_parts, warn_of_random_parts
from vlpeft.checkpoint.load import TRAINING_ONLY, unique_state
from vlpeft.checkpoint.new_rows import new_rows
from vlpeft.checkpoint.scheme import SCHEME
from vlpeft.checkpoint.trained import load_trained
from vlpeft.registry import HOOKS

#: Arguments of MMEngine's file functions for writing whole files or none.
ATOMIC = dict(backend='vlpeft_atomic')


@register_backend(ATOMIC['backend'], force=True)
class AtomicLocalBackend(LocalBackend):
    """Local files that are either the old or the new version, never a part."""

    def put(self, obj: bytes, filepath: str) -> None:
        folder = os.path.dirname(os.path.abspath(filepath))
        os.makedirs(folder, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix='.writing-', delete=False) as file:
            try:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
                os.chmod(file.name, 0o644)
                os.replace(file.name, filepath)
            except BaseException:
                os.unlink(file.name)
                raise


@HOOKS.register_module()
class AdapterCheckpointHook(CheckpointHook):
    """Saves trained parameters, momentum copies and queue, with the base's name and hash instead of its weights.

    Args:
        save_base: Writes the frozen weights too. Defaults to False.
        allow_random: Whether a model is tested of which parts come from no file and so are random. True: with a
            warning; False: not; None: with a warning if there is no checkpoint, not if one leaves parts unfilled.
            Defaults to None.
        **kwargs: Of MMEngine's ``CheckpointHook``.
    """

    def __init__(self, save_base: bool = False, allow_random: Optional[bool] = None, **kwargs) -> None:
        super().__init__(backend_args=ATOMIC, **kwargs)
        self.save_base = save_base
        self.allow_random = allow_random
        self.in_training = False
        self.has_trained = False

    @staticmethod
    def _model(runner):
        return runner.model.module if is_model_wrapper(runner.model) else runner.model

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Leaves out frozen weights, and from best checkpoints, which hold no optimiser, what only training needs."""
        model = self._model(runner)
        checkpoint['meta'].update(base=model.base, method=model.method)
        if isinstance(runner, FlexibleRunner):
            # After a validation it counts one epoch or iteration too many, which a resumed run would skip.
            ahead = dict(epoch=self.by_epoch and self.in_training, iter=not self.by_epoch and self.in_training)
            checkpoint['meta'].update({name: getattr(runner, name) + int(more) for name, more in ahead.items()})
        state = checkpoint['state_dict']
        dropped = set(state) - set(unique_state(model))
        if not self.save_base:
            dropped |= model.frozen_keys()
        if 'optimizer' not in checkpoint:
            dropped |= {key for key in state if key.startswith(TRAINING_ONLY)}
        frozen = dropped & model.grown.keys()
        rows = new_rows(state, {key: model.grown[key] for key in frozen})
        checkpoint['state_dict'] = {**{key: value for key, value in state.items() if key not in dropped}, **rows}

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Loads any dialect, completes the rest from the base, and hands MMEngine a full state dict.

        Raises:
            CheckpointError: The file was trained on another base, or this model has none; or it does not fit.
        """
        model = self._model(runner)
        origin = str(runner._load_from or 'the resumed checkpoint').removeprefix(SCHEME)
        start = isinstance(runner._train_loop, BaseLoop) and not runner._resume
        load_trained(model, checkpoint, origin, start, bool(self.allow_random))
        checkpoint['state_dict'] = model.state_dict()

    def before_train(self, runner) -> None:
        """Says what starts from its initial values."""
        super().before_train(runner)
        warn_of_random_parts(self._model(runner))
        self.has_trained = True

    def before_val(self, runner) -> None:
        """As :meth:`before_test`, outside of training."""
        self.before_test(runner)

    def before_test(self, runner) -> None:
        """Says what is random.

        Raises:
            CheckpointError: Something is, and ``allow_random`` is False.
        """
        if self.has_trained:
            return
        model = self._model(runner)
        names = random_parts(model)
        if names and self.allow_random is False:
            raise CheckpointError(
                f'{len(names)} parameters of {model.method} come from no file and would be tested at their initial '
                f'values: {by_part(names)}; give a checkpoint that holds them, set model.adapter=None for the base '
                'alone, or allow it with --allow-random')
        warn_of_random_parts(model)

    def _save_checkpoint(self, runner) -> None:
        """MMEngine's, called before the runner counts the epoch or iteration that ends."""
        self.in_training = True
        super()._save_checkpoint(runner)
        self.in_training = False

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        """MMEngine's, but the new file is complete before the oldest goes."""
        limit, surplus = self.max_keep_ckpts, None
        if limit > 0 and (not self.keep_ckpt_ids or self.keep_ckpt_ids[-1] != step):
            surplus = self.keep_ckpt_ids.popleft() if len(self.keep_ckpt_ids) == limit else None
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        self.max_keep_ckpts = -1
        super()._save_checkpoint_with_step(runner, step, meta)
        self.max_keep_ckpts = limit
        if surplus is not None and is_main_process():
            path = self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(surplus))
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)
