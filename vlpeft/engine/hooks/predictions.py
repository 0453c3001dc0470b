"""Keeps what the model answered in each evaluation of a run."""

from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from vlpeft.evaluation.predictions import write_predictions
from vlpeft.registry import HOOKS


@HOOKS.register_module()
class PredictionsHook(Hook):
    """Writes the predictions of each validation and test as JSON lines into ``<work folder>/predictions/``.

    The files are ``val_iter_500.jsonl`` after 500 steps and ``test.jsonl``; what a line holds says
    :func:`vlpeft.evaluation.predictions.prediction_rows`.
    """

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        self._write(runner, runner.val_evaluator, f'val_iter_{runner.iter}')

    def after_test_epoch(self, runner, metrics: dict | None = None) -> None:
        self._write(runner, runner.test_evaluator, 'test')

    def _write(self, runner, evaluator, name: str) -> None:
        if is_main_process():
            path = Path(runner.work_dir) / 'predictions' / f'{name}.jsonl'
            rows = write_predictions(path, evaluator.metrics)
            runner.logger.info(f'{rows:,} predictions are in {path}')
