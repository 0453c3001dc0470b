"""Small real runs of several tasks: numbers in JSONL files, a linear model in float64, an exactly-once metric."""

import json
import os
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement

import vlpeft  # noqa: F401
from vlpeft.engine.hooks.resumable_checkpoint import ResumableCheckpointHook
from vlpeft.evaluation.metrics.base import ExactlyOnceMetric
from vlpeft.registry import DATASETS, HOOKS, METRICS, MODELS

SCALES = dict(vqa=1.0, gqa=-2.0, caption=0.5)


@DATASETS.register_module()
class ToySet(BaseDataset):
    """Samples of a JSONL file with ``id``, ``x`` and ``y``; ``task`` as a packing transform would set it."""

    def __init__(self, ann_file, task, **kwargs):
        self.task = task
        super().__init__(ann_file, metainfo=dict(name=task), serialize_data=False, **kwargs)  # it collects garbage

    def load_data_list(self):
        return [json.loads(line) for line in Path(self.ann_file).read_text().splitlines()]

    def prepare_data(self, idx):
        info = self.get_data_info(idx)
        sample = BaseDataElement(metainfo=dict(task=self.task, id=info['id'], y=info['y']))
        return dict(inputs=torch.tensor(info['x'], dtype=torch.float64), data_samples=sample)


@MODELS.register_module()
class ToyModel(BaseModel):
    """Regression whose loss depends on the batch's task; notes (task, ids) of its training batches in ``seen``."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 1).double()
        torch.nn.init.constant_(self.linear.weight, 0.3)
        torch.nn.init.zeros_(self.linear.bias)
        self.seen = []

    def forward(self, inputs, data_samples, mode='tensor'):
        (task,) = {sample.task for sample in data_samples}
        found = SCALES[task] * self.linear(torch.stack(inputs))[:, 0]
        if mode == 'loss':
            self.seen.append((task, [sample.id for sample in data_samples]))
            return dict(loss=(found - found.new_tensor([sample.y for sample in data_samples])).square().mean())
        for sample, value in zip(data_samples, found.tolist()):
            sample.set_field(value, 'pred', field_type='metainfo')
        return data_samples


@METRICS.register_module()
class ToyError(ExactlyOnceMetric):
    """Mean absolute error, and how many samples it is over."""

    default_prefix = 'toy'

    def process(self, data_batch, data_samples):
        self.results += [dict(id=sample['id'], error=abs(sample['pred'] - sample['y'])) for sample in data_samples]

    def compute_metrics(self, results):
        return dict(error=sum(result['error'] for result in results) / len(results), count=len(results))


@HOOKS.register_module()
class NoteGradients(Hook):
    """Keeps the gradient and the rate of every update."""

    def before_train(self, runner):
        self.updates = []
        runner.optim_wrapper.optimizer.register_step_pre_hook(
            lambda optimizer, *_: self.updates.append(
                (
                    optimizer.param_groups[0]['lr'],
                    torch.cat([param.grad.flatten() for param in optimizer.param_groups[0]['params']]).cpu(),
                )
            )
        )


def write_sets(folder: Path, **sizes: int) -> None:
    """``<task>.jsonl`` of each task; ids are unique over all tasks."""
    generator = torch.Generator().manual_seed(0)
    for number, (task, size) in enumerate(sizes.items()):
        rows = torch.randn(size, 4, generator=generator, dtype=torch.float64).tolist()
        lines = [json.dumps(dict(id=100 * number + i, x=row[:3], y=row[3])) for i, row in enumerate(rows)]
        (folder / f'{task}.jsonl').write_text('\n'.join(lines) + '\n')


def toy_set(folder: Path, task: str, **kwargs) -> dict:
    return dict(type='ToySet', ann_file=str(folder / f'{task}.jsonl'), task=task, **kwargs)


def toy_config(
    folder: Path,
    name: str,
    tasks=('vqa', 'gqa'),
    batch_size: int = 2,
    epochs: int = 2,
    mixing=None,
    hooks=(),
    accumulate: int = 1,
    clip=None,
    **overrides,
) -> Config:
    """A run on ``<task>.jsonl`` of ``folder`` in the work folder ``folder/name``."""
    loader = dict(batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False))
    config = dict(
        default_scope='vlpeft',
        work_dir=str(folder / name),
        experiment_name=f'{folder}/{name}',
        log_level='WARNING',
        model=dict(type='ToyModel'),
        train_dataloader=dict(
            dataset=dict(type='MultiTaskDataset', tasks={task: toy_set(folder, task) for task in tasks}),
            sampler=dict(type='DefaultSampler', shuffle=True),
            batch_sampler=dict(type='TaskMixingBatchSampler', **(mixing or {})),
            batch_size=batch_size,
            num_workers=0,
        ),
        val_dataloader={task: dict(loader, dataset=toy_set(folder, task)) for task in tasks},
        val_evaluator={task: dict(type='ToyError') for task in tasks},
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=epochs),
        val_cfg=dict(type='MultiTaskValLoop', main={task: f'{task}/toy/error' for task in tasks}),
        optim_wrapper=dict(
            type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1), accumulative_counts=accumulate, clip_grad=clip
        ),
        custom_hooks=[dict(type='NoteGradients'), *hooks],
        randomness=dict(seed=7),
        launcher='none',
    )
    return Config({**config, **overrides}, format_python_code=False)  # yapf takes seconds over long paths


def noted(runner) -> list:
    """(rate, gradient) of each update of a finished run."""
    return next(hook.updates for hook in runner.hooks if isinstance(hook, NoteGradients))


def join_group(rank: int, world: int, port: int) -> None:
    """Join a gloo group, without a GPU."""
    os.environ.update(CUDA_VISIBLE_DEVICES='', LOCAL_RANK=str(rank))
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo', f'tcp://127.0.0.1:{port}', rank=rank, world_size=world)


@HOOKS.register_module()
class ToyCheckpointHook(ResumableCheckpointHook):
    """Keeps whole models, as :class:`ToyModel` is one."""
