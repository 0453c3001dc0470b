"""Runs of a tiny perceptual language model on pictures in a folder, with and without a cache of vectors."""

import json
import time
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import all_reduce, get_world_size, is_main_process
from mmengine.hooks import Hook

import vlpeft  # noqa: F401
from tests.media import write_image
from tests.tiny_epalm import perceptual_config, write_vocabulary
from vlpeft.registry import HOOKS

FILES, SIDE = 12, 16
LOAD = [dict(type='LoadClip', num_frames=1), dict(type='ClipResize', size=SIDE)]
TEXT = [dict(type='DrawTarget'), dict(type='ComposeText', template=''), dict(type='PackSample', task='caption')]


@HOOKS.register_module()
class NoteEpochs(Hook):
    """Writes the losses of all steps, meant over processes, and the processor seconds of each epoch."""

    def before_train(self, runner):
        self.losses, self.seconds = [], []

    def before_train_epoch(self, runner):
        self.start = time.process_time()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        loss = outputs['loss'].detach().double()
        all_reduce(loss)
        self.losses.append(float(loss) / get_world_size())

    def after_train_epoch(self, runner):
        self.seconds.append(time.process_time() - self.start)
        if is_main_process():
            Path(runner.work_dir, 'noted.json').write_text(json.dumps(dict(losses=self.losses, seconds=self.seconds)))


def noted(config: Config) -> dict:
    return json.loads(Path(config.work_dir, 'noted.json').read_text())


def write_pictures(folder: Path, size=(48, 80), files: int = FILES) -> Path:
    """Pictures with two captions each, and the tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for i in range(files):
        write_image(folder / f'{i}.png', size, seed=i)
        lines.append(json.dumps(dict(image=f'{i}.png', caption=[f'picture {i}', f'it is number {i}'])))
    (folder / 'set.jsonl').write_text('\n'.join(lines) + '\n')
    write_vocabulary(folder / 'opt')
    return folder


def cached_config(
    data: Path,
    name: str,
    cache: dict | None = None,
    steps=(),
    epochs: int = 2,
    batch_size: int = 4,
    encoder: dict | None = None,
    **overrides,
) -> Config:
    """A run in ``data/name``; ``cache`` are arguments of the hook."""
    model = perceptual_config(vocabulary=str(data / 'opt'))
    model['encoder'].update(encoder or {})
    hooks = [dict(type='NoteEpochs'), dict(type='EpochSeedHook')]
    if cache is not None:
        hooks.append(dict(dict(type='FeatureCacheHook', folder=str(data / 'cache'), batch_size=5), **cache))
    config = dict(
        default_scope='vlpeft',
        work_dir=str(data / name),
        experiment_name=str(data / name),
        log_level='INFO',
        model=model,
        randomness=dict(seed=7),
        launcher='none',
        env_cfg=dict(dist_cfg=dict(backend='nccl')),
        train_dataloader=dict(
            batch_size=batch_size,
            num_workers=0,
            collate_fn=dict(type='default_collate'),
            sampler=dict(type='DefaultSampler', shuffle=True),
            dataset=dict(
                type='JSONLCaption',
                ann_file=str(data / 'set.jsonl'),
                pipeline=[*LOAD, *steps, *TEXT],
                max_unreadable=0.5,
            ),
        ),
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=epochs),
        optim_wrapper=dict(
            type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.02), constructor='TrainableOptimWrapperConstructor'
        ),
        default_hooks=dict(checkpoint=None),
        custom_hooks=hooks,
    )
    return Config({**config, **overrides}, format_python_code=False)
