"""The sets of several tasks as one: one after the other, each with its own annotations and transforms."""

from typing import Any

from torch.utils.data import ConcatDataset, Dataset

from ..registry import DATASETS


@DATASETS.register_module()
class MultiTaskDataset(ConcatDataset):
    """Sets of several tasks. Each sample stays as its own set made it, ``data_samples.task`` included.

    ``task_ranges`` is ``{task: range}``, the indices of each task; a batch sampler that keeps the tasks apart
    (:class:`TaskMixingBatchSampler`) reads it.

    Args:
        tasks: Set of each task by the task's name.

    Raises:
        ValueError: There is no task, or the set of one is empty.
    """

    def __init__(self, tasks: dict[str, dict | Dataset]) -> None:
        if not tasks:
            raise ValueError('MultiTaskDataset.tasks is empty: give it one set per task, dict(vqa=dict(type=…), …)')
        self.tasks = {
            task: DATASETS.build(dataset) if isinstance(dataset, dict) else dataset for task, dataset in tasks.items()
        }
        empty = [task for task, dataset in self.tasks.items() if not len(dataset)]
        if empty:
            raise ValueError(f'MultiTaskDataset.tasks: the set of {", ".join(empty)} is empty')
        super().__init__(self.tasks.values())
        starts = [0, *self.cumulative_sizes]
        self.task_ranges = {task: range(*starts[i : i + 2]) for i, task in enumerate(self.tasks)}

    @property
    def metainfo(self) -> dict[str, Any]:
        """``{'tasks': {task: metainfo of its set}}``."""
        return dict(tasks={task: dataset.metainfo for task, dataset in self.tasks.items()})
