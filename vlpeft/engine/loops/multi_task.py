"""Evaluation of several tasks in one run: each on its own set, with its own metrics."""

from collections.abc import Iterable
from contextlib import nullcontext

import torch
from mmengine.device import get_device
from mmengine.evaluator import Evaluator
from mmengine.runner import TestLoop, ValLoop
from mmengine.runner.base_loop import BaseLoop
from torch.utils.data import DataLoader

from vlpeft.registry import LOOPS

MEAN = 'multi_task/mean'


class TaskLoaders:
    """Loaders by task; its length is the number of batches of all, from which the hooks reckon progress and ETA."""

    def __init__(self, loaders: dict[str, DataLoader]) -> None:
        self.loaders = loaders

    def __len__(self) -> int:
        return sum(map(len, self.loaders.values()))


class MultiTaskLoop(BaseLoop):
    """What the validation and test loops share: MMEngine's loop of each task, one after the other, between one call of
    the hooks of the phase.

    Metrics are named ``<task>/…``: a metric whose prefix is not already the task's name gets it in front. Limits of a
    set (``dataset.indices``, …) are the task's own, and each sample of the limited set counts once.

    Args:
        dataloader: Loader of each task by the task's name.
        evaluator: Metric, or metrics, of each task.
        main: Main metric of tasks; their mean is the metric ``multi_task/mean``, by which ``save_best='auto'`` goes.
            Tasks that are not listed do not count. Defaults to None, no mean.
        amp: Whether to compute under bfloat16 autocast. Defaults to False.

    Raises:
        ValueError: Loaders and evaluators have different tasks, or ``main`` names another task or a metric of another;
            after evaluation: there is no metric that ``main`` names.
    """

    phase: str
    single: type[BaseLoop]

    def __init__(
        self,
        runner,
        dataloader: dict[str, dict],
        evaluator: dict[str, dict | list],
        main: dict[str, str] | None = None,
        amp: bool = False,
    ) -> None:
        self.main = main or {}
        self._check_tasks(dataloader, evaluator)
        self.loops = {task: self.single(runner, dataloader[task], evaluator[task], fp16=amp) for task in dataloader}
        for task, loop in self.loops.items():
            for metric in loop.evaluator.metrics:
                metric.prefix = under_task(task, metric.prefix)
        super().__init__(runner, TaskLoaders({task: loop.dataloader for task, loop in self.loops.items()}))
        self.evaluator = Evaluator([metric for loop in self.loops.values() for metric in loop.evaluator.metrics])
        self.amp = amp

    def run(self) -> dict[str, float]:
        """Evaluate all tasks.

        Returns:
            ``{'<task>/<name>': value}``, and ``'multi_task/mean'`` if ``main`` is given.
        """
        self.runner.call_hook(f'before_{self.phase}')
        self.runner.call_hook(f'before_{self.phase}_epoch')
        self.runner.model.eval()
        metrics = self._evaluate()
        if self.main:
            metrics = {MEAN: self._mean(metrics), **metrics}  # save_best='auto' takes the first
        self.runner.call_hook(f'after_{self.phase}_epoch', metrics=metrics)
        self.runner.call_hook(f'after_{self.phase}')
        return metrics

    def _evaluate(self) -> dict[str, float]:
        metrics, done = {}, 0
        # The loops' own autocast takes the type of the one around it; alone it would be float16 on a GPU.
        with torch.autocast(get_device(), torch.bfloat16) if self.amp else nullcontext():
            for task, loop in self.loops.items():
                size = len(loop.dataloader.dataset)
                self.runner.logger.info(f'{self.phase}: {task}, {size:,} samples')
                for batch in loop.dataloader:
                    loop.run_iter(done, batch)
                    done += 1
                metrics.update(loop.evaluator.evaluate(size))
        return metrics

    def _mean(self, metrics: dict[str, float]) -> float:
        missing = [f'{task}={name!r}' for task, name in self.main.items() if name not in metrics]
        if missing:
            raise ValueError(f'{self.phase}_cfg.main: no metric {", ".join(missing)}; there are {", ".join(metrics)}')
        return sum(float(metrics[name]) for name in self.main.values()) / len(self.main)

    def _check_tasks(self, dataloader: dict, evaluator: dict) -> None:
        if set(dataloader) != set(evaluator):
            raise ValueError(
                f'{self.phase}_dataloader and {self.phase}_evaluator must have the same tasks as keys: '
                f'{_listed(dataloader)} and {_listed(evaluator)}'
            )
        unknown = set(self.main) - set(dataloader)
        if unknown:
            raise ValueError(
                f'{self.phase}_cfg.main names {_listed(unknown)}; {self.phase}_dataloader has the tasks '
                f'{_listed(dataloader)}'
            )
        foreign = [f'{task}={name!r}' for task, name in self.main.items() if not name.startswith(f'{task}/')]
        if foreign:
            raise ValueError(f"{self.phase}_cfg.main: metrics are named '<task>/…', got {', '.join(foreign)}")


def under_task(task: str, prefix: str | None) -> str:
    """The prefix of a task's metric: what is not yet the task's gets its name in front."""
    if prefix is None:
        return task
    return prefix if prefix.split('/')[0] == task else f'{task}/{prefix}'


def _listed(names: Iterable[str]) -> str:
    return ', '.join(sorted(names))


@LOOPS.register_module()
class MultiTaskValLoop(MultiTaskLoop):
    """Validates each task in turn; arguments as in :class:`MultiTaskLoop`."""

    phase, single = 'val', ValLoop


@LOOPS.register_module()
class MultiTaskTestLoop(MultiTaskLoop):
    """Tests each task in turn; arguments as in :class:`MultiTaskLoop`."""

    phase, single = 'test', TestLoop
