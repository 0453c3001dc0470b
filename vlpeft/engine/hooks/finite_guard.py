"""Numbers that are not finite never reach the weights: the step that has them is not made, and its batch is kept.

The losses, which the log reads anyway, and the norm of the gradients are read from the device in one go, between
backward pass and update; what the log is given afterwards is already on the CPU.
"""

import functools
import logging
from collections.abc import Callable
from pathlib import Path

from mmengine.dist import all_gather_object, get_rank, get_world_size, is_main_process
from mmengine.hooks import Hook
from torch import Tensor
from torch.distributed.tensor import DTensor

from vlpeft.checkpoint.files import write_checkpoint
from vlpeft.checkpoint.report import shorten
from vlpeft.datasets.generators import generator_states
from vlpeft.engine.bad_batch import BadBatch
from vlpeft.engine.finite import Measured, NonFiniteStepError, measure, nonfinite_names
from vlpeft.engine.strategies.sharding import gathered
from vlpeft.engine.task_model import task_model
from vlpeft.models.finite import label
from vlpeft.models.tasks.base import AdaptedModel
from vlpeft.registry import HOOKS

from .adapter_checkpoint import kept_state

FOLDER = 'bad_steps'
#: Updates in a row that the loss scaler may leave out: 16 halvings take its first scale, 65536, to 1.
MAX_OVERFLOWS = 16
#: How many samples a message names.
NAMED = 4


@HOOKS.register_module()
class FiniteGuardHook(Hook):
    """Ends a run before an update whose loss or gradient norm is NaN or infinite, in all processes together.

    The error names iteration, process and samples. The batch, and the weights it was given to, are in ``bad_steps`` of
    the work folder, for ``tools/analysis_tools/replay_batch.py``. Gradients that overflow under a loss scaler are its
    own business, until it has left out more than ``MAX_OVERFLOWS`` updates in a row.

    Args:
        max_bad_steps: Updates that are left out, with a warning, before one ends the run; with accumulated gradients
            the whole update. Counted over the run, also a resumed one. Defaults to 0.

    Raises:
        ValueError: ``max_bad_steps`` is no number of steps.
    """

    # Before the hooks that log and save.
    priority = 'HIGHEST'

    def __init__(self, max_bad_steps: int = 0) -> None:
        if not isinstance(max_bad_steps, int) or max_bad_steps < 0:
            raise ValueError(f'FiniteGuardHook: max_bad_steps must be an integer of 0 or more, got {max_bad_steps!r}')
        self.max_bad_steps = max_bad_steps
        self.overflows = 0
        self.losses: dict[str, Tensor] = {}
        self.culprit: BadBatch | None = None

    def before_train(self, runner) -> None:
        """Puts itself between losses, gradients and update."""
        wrapper, model = runner.optim_wrapper, task_model(runner)
        self.sharded = any(isinstance(param, DTensor) for param in model.parameters())
        self.scaler = getattr(wrapper, 'loss_scaler', None)
        self.scaling = self.scaler is not None and self.scaler.is_enabled()
        model.parse_losses = functools.partial(self._noted_losses, model.parse_losses)
        self.step = wrapper.step
        # MMEngine's schedulers count steps, by a mark on the method.
        wrapper.step = functools.wraps(self.step)(functools.partial(self._guarded_step, runner))

    def after_train(self, runner) -> None:
        """Leaves model and optimiser as they were."""
        del task_model(runner).parse_losses
        runner.optim_wrapper.step = self.step

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Notes the batch, and where the random generators stand."""
        self.data_batch, self.generators = data_batch, generator_states()

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Looks at a batch whose gradients are only accumulated; at others it has looked before the update."""
        if self.losses:
            # Sharded gradients are summed over processes each time, so no process knows whose they are.
            self._look(runner, together=self.sharded)
        self.data_batch = None

    def _noted_losses(self, parse: Callable, losses: dict) -> tuple[Tensor, dict[str, Tensor]]:
        total, self.losses = parse(losses)
        return total, self.losses

    def _guarded_step(self, runner, **kwargs) -> None:
        """Makes the update, leaves it out, or raises."""
        found = self._look(runner, together=True)
        overflow = self.scaling and found.bad_gradients and not found.bad_losses
        self.overflows = self.overflows + 1 if overflow else 0
        if overflow and self.overflows > MAX_OVERFLOWS:
            self.culprit = self._bad_batch(
                runner,
                f'the gradients overflow in {self.overflows} updates in a row, at '
                f'last with loss scale {self.scaler.get_scale():g}',
            )
        elif overflow or not (found.bad_losses or found.bad_gradients):
            self.step(**kwargs)
            return
        self._leave_out(runner)

    def _look(self, runner, together: bool) -> Measured:
        """Measures, hands the log what was measured, and keeps the batch if it is the first bad one of an update."""
        found = measure(self.losses, runner.optim_wrapper.optimizer, together, flagged=self.culprit is not None)
        self.losses.update(found.losses)
        self.losses = {}
        if self.culprit is None:
            wrong = [
                f'{name} is {value:g}'
                for name, value in found.losses.items()
                if 'loss' in name and not value.isfinite()
            ]
            if wrong:
                self.culprit = self._bad_batch(runner, ', '.join(wrong))
            elif found.bad_gradients and not found.bad_losses and not self.scaling:
                names = nonfinite_names(
                    (name, param.grad)
                    for name, param in task_model(runner).named_parameters()
                    if param.grad is not None
                )
                self.culprit = self._bad_batch(
                    runner, f'the gradient norm is {found.norm:g}' + (f' ({shorten(names)})' if names else '')
                )
        return found

    def _bad_batch(self, runner, reason: str) -> BadBatch:
        wrapper = runner.optim_wrapper
        samples = self.data_batch.get('data_samples', []) if isinstance(self.data_batch, dict) else []
        dtype = getattr(wrapper, 'cast_dtype', None)
        return BadBatch(
            runner.iter + 1,
            get_rank(),
            get_world_size(),
            reason,
            [label(sample) for sample in samples],
            self.data_batch,
            self.generators,
            dtype and str(dtype).removeprefix('torch.'),
            self.scaler.get_scale() if self.scaling else 1.0,
        )

    def _leave_out(self, runner) -> None:
        """Keeps bad batches and weights, and ends the run if there were too many; all processes call."""
        folder = Path(runner.work_dir, FOLDER)
        weights = folder / f'iter_{runner.iter + 1}.pth'
        save_trained(runner, weights)
        text, bad = None, self.culprit
        if bad is not None:
            path = folder / f'iter_{bad.iteration}_batch_rank{bad.rank}.pth'
            bad.write(path)
            samples = '; '.join(bad.samples[:NAMED]) + (
                f' and {len(bad.samples) - NAMED} more' if len(bad.samples) > NAMED else ''
            )
            text = (
                f'iteration {bad.iteration}'
                + f', process {bad.rank}' * (bad.world_size > 1)
                + f': {bad.reason}; the batch ({samples}) is in {path}'
            )
        # Also keeps processes together until all files are there.
        texts = [text for text in all_gather_object(text) if text is not None]
        self.culprit = None
        message = '. '.join(texts) + f'. The weights are in {weights}; tools/analysis_tools/replay_batch.py shows where'
        count = runner.message_hub.get_info('bad_steps', 0) + 1
        if count > self.max_bad_steps:
            raise NonFiniteStepError(
                f'training stops before an update that is not finite (max_bad_steps={self.max_bad_steps}). {message}'
            )
        runner.message_hub.update_info('bad_steps', count)
        runner.logger.log(
            logging.WARNING,
            f'an update that is not finite is left out ({count} of max_bad_steps={self.max_bad_steps}). {message}',
        )


def save_trained(runner, path: Path) -> None:
    """Writes the trained tensors, momentum copies and queue, without optimiser; all processes call."""
    model = task_model(runner)
    state = model.state_dict()
    meta = dict(iter=runner.iter, epoch=runner.epoch)
    if isinstance(model, AdaptedModel):
        state = kept_state(model, state)
        meta.update(base=model.base, method=model.method)
    state = {key: gathered(value) for key, value in state.items()}
    if is_main_process():
        write_checkpoint(dict(state_dict=state, meta=meta), path)
