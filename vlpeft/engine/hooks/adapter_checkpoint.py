"""Checkpoints of what was trained only; loading checks the base under them."""

from collections.abc import Mapping

from mmengine.runner import BaseLoop
from torch import Tensor

from vlpeft.checkpoint import Checkpoint, CheckpointError
from vlpeft.checkpoint.coverage import by_part, random_parts, warn_of_random_parts
from vlpeft.checkpoint.fit import TRAINING_ONLY
from vlpeft.checkpoint.new_rows import new_rows
from vlpeft.checkpoint.tied import unique_state
from vlpeft.checkpoint.trained import load_trained
from vlpeft.engine.run_record import KEY, run_record
from vlpeft.engine.task_model import task_model
from vlpeft.registry import HOOKS

from .resumable_checkpoint import ResumableCheckpointHook, origin_of


@HOOKS.register_module()
class AdapterCheckpointHook(ResumableCheckpointHook):
    """Saves trained parameters, momentum copies and queue, with the base's name and hash instead of its weights, and
    what is known of the run (:func:`~vlpeft.engine.run_record.run_record`).

    Args:
        allow_random: Whether a model is tested of which parts come from no file and so are random. True: with a
            warning; False: not; None: with a warning if there is no checkpoint, not if one leaves parts unfilled.
            Defaults to None.
        **kwargs: Of :class:`ResumableCheckpointHook`.
    """

    def __init__(self, allow_random: bool | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.allow_random = allow_random
        self.has_trained = False
        self.record: dict | None = None

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Leaves out frozen weights, and from best checkpoints, which hold no optimiser, what only training needs."""
        super().before_save_checkpoint(runner, checkpoint)
        model = task_model(runner)
        self.record = self.record or run_record(runner)
        checkpoint['meta'].update({'base': model.base, 'method': model.method, KEY: self.record})
        resumable = 'optimizer' in checkpoint
        checkpoint['state_dict'] = kept_state(model, checkpoint['state_dict'], resumable)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Loads any dialect, completes the rest from the base, and hands MMEngine a full state dict.

        Raises:
            CheckpointError: The file was trained on another base, or this model has none; or it does not fit.
        """
        model = task_model(runner)
        start = isinstance(runner._train_loop, BaseLoop) and not runner._resume
        load_trained(model, Checkpoint.of(checkpoint, origin_of(runner)), start, bool(self.allow_random))
        checkpoint['state_dict'] = model.state_dict()
        super().after_load_checkpoint(runner, checkpoint)

    def before_train(self, runner) -> None:
        """Says what starts from its initial values."""
        super().before_train(runner)
        warn_of_random_parts(task_model(runner), begins=not runner._load_from)
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
        model = task_model(runner)
        names = random_parts(model)
        if names and self.allow_random is False:
            raise CheckpointError(
                f'{len(names)} parameters of {model.method} come from no file and would be tested at their initial '
                f'values: {by_part(names)}; give a checkpoint that holds them, set model.adapter=None for the base '
                'alone, or allow it with --allow-random'
            )
        warn_of_random_parts(model)


def kept_state(model, state: Mapping[str, Tensor], for_training: bool = True) -> dict[str, Tensor]:
    """What a checkpoint holds of an :class:`AdaptedModel`.

    Args:
        model: The model.
        state: Its state dict.
        for_training: Whether what only training needs stays in. Defaults to True.
    """
    dropped = (set(state) - set(unique_state(model))) | model.frozen_keys()
    if not for_training:
        dropped |= {key for key in state if key.startswith(TRAINING_ONLY)}
    # In one order in all processes, which gather split tensors together.
    frozen = sorted(dropped & model.grown.keys())
    rows = new_rows(state, {key: model.grown[key] for key in frozen})
    return {**{key: value for key, value in state.items() if key not in dropped}, **rows}
