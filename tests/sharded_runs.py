"""Small real runs over gloo processes: numbered samples, a tiny language model with vision, all it did noted."""

import json
import os
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.structures import BaseDataElement
from torch.utils.data import Dataset

import vlpeft  # noqa: F401
from tests.cached_runs import NoteEpochs
from tests.ports import free_port
from tests.processes import run_on_ranks
from tests.resuming import CopyCheckpoints  # noqa: F401  registers it in every process
from vlpeft.engine.launch import build_runner, end_process_group
from vlpeft.evaluation.metrics.base import ExactlyOnceMetric
from vlpeft.registry import DATASETS, HOOKS, METRICS

TRAINED, TESTED = 20, 5
TARGETS = ('yes', 'a red cat', 'ten')


@DATASETS.register_module()
class NumberedPictures(Dataset):
    """Random images and questions, the same in every process and epoch."""

    metainfo = dict(name='pictures')

    def __init__(self, count: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randint(256, (count, 1, 3, 16, 16), generator=generator, dtype=torch.uint8)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, idx: int) -> dict:
        sample = BaseDataElement(
            task='vqa', text=f'who is {idx}?' + 'a' * idx + '</a>', target=TARGETS[idx % 3], weight=1.0, question_id=idx
        )
        return dict(inputs=self.images[idx], data_samples=sample)


@METRICS.register_module()
class NoteAnswers(ExactlyOnceMetric):
    """Keeps the answers."""

    default_prefix = 'toy'

    def process(self, data_batch, data_samples):
        self.results += [dict(id=sample['question_id'], text=sample['pred_answer']) for sample in data_samples]

    def compute_metrics(self, results):
        self.answers = {result['id']: result['text'] for result in results}
        return dict(count=len(results))


@HOOKS.register_module()
class NoteRun(NoteEpochs):
    """Adds the gradients' ``norms`` of all steps and the last ``answers``."""

    def before_train(self, runner):
        super().before_train(runner)
        self.norms = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        self.norms.append(float(runner.message_hub.get_scalar('train/grad_norm').current()))

    def after_run(self, runner):
        if is_main_process():
            path = Path(runner.work_dir, 'noted.json')
            answers = runner.val_evaluator.metrics[0].answers
            path.write_text(json.dumps(dict(json.loads(path.read_text()), answers=answers, norms=self.norms)))


def run_config(folder: Path, name: str, batch_size: int, model: dict, epochs: int = 2, **overrides) -> Config:
    loader = dict(num_workers=0, collate_fn=dict(type='default_collate'))
    config = dict(
        default_scope='vlpeft',
        work_dir=str(folder / name),
        experiment_name=str(folder / name),
        log_level='WARNING',
        model=model,
        randomness=dict(seed=7),
        launcher='none',
        env_cfg=dict(dist_cfg=dict(backend='nccl')),
        train_dataloader=dict(
            loader,
            batch_size=batch_size,
            dataset=dict(type='NumberedPictures', count=TRAINED),
            sampler=dict(type='DefaultSampler', shuffle=True),
        ),
        val_dataloader=dict(
            loader,
            batch_size=1,
            dataset=dict(type='NumberedPictures', count=TESTED),
            sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
        ),
        val_evaluator=dict(type='NoteAnswers'),
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=epochs),
        val_cfg=dict(type='ValLoop'),
        optim_wrapper=dict(
            type='OptimWrapper',
            optimizer=dict(type='AdamW', lr=0.02),
            constructor='TrainableOptimWrapperConstructor',
            clip_grad=dict(max_norm=0.5),
        ),
        param_scheduler=[dict(type='LinearLR', start_factor=0.5, end=8, by_epoch=False)],
        default_hooks=dict(
            checkpoint=dict(type='AdapterCheckpointHook', interval=1, save_best='toy/count', rule='greater')
        ),
        custom_hooks=[dict(type='NoteRun'), dict(type='FreezeReportHook'), dict(type='EpochSeedHook')],
    )
    return Config({**config, **overrides}, format_python_code=False)


def run(config: Config) -> None:
    """Trains as tools/train.py does."""
    build_runner(config).train()
    end_process_group()


def _run_all(rank: int, ports: list, configs: list) -> None:
    torch.set_num_threads(1)
    for port, config in zip(ports, configs):
        os.environ.update(
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE='2',
            MASTER_ADDR='127.0.0.1',
            MASTER_PORT=str(port),
            CUDA_VISIBLE_DEVICES='',
        )
        run(Config(config, format_python_code=False))


def run_on_two(configs: list) -> None:
    """The runs one after the other, on the same two processes."""
    configs = [{**config.to_dict(), 'launcher': 'pytorch'} for config in configs]
    run_on_ranks(_run_all, [free_port() for _ in configs], configs)
