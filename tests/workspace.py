"""A whole small project in a folder: real mp4 clips, captions, vocabulary, base weights, config."""

import json
from pathlib import Path

import numpy as np
import torch

from tests.media import write_video
from tests.tiny import SIZE, WORDS, retriever_config, write_vocabulary

ROOT = Path(__file__).parents[1]
LORA = dict(type='LoRA', rank=2, targets=dict(kinds=['self_attn'], linears=['q', 'v']))
COLOURS = dict(red=(220, 30, 30), green=(30, 200, 40), blue=(30, 40, 220))

CONFIG = """
_base_ = [{bases}]
default_scope = 'vlpeft'
pipeline = [
    dict(type='LoadClip', num_frames=2, sampling={sampling!r}), dict(type='ClipResize', size={size}),
    dict(type='CleanText', max_words=30), dict(type='PackSample')]
test_pipeline = [
    dict(type='LoadClip', num_frames=2, sampling='middle'), dict(type='ClipResize', size={size}),
    dict(type='CleanText', max_words=30), dict(type='PackSample')]
model = {model}
train_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False, pin_memory=False,
    dataset=dict(data_root={data!r}, ann_file='train.jsonl', pipeline=pipeline))
val_dataloader = dict(batch_size=3, num_workers=0, persistent_workers=False, pin_memory=False,
    dataset=dict(data_root={data!r}, ann_file='test.jsonl', pipeline=test_pipeline))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=2)
val_cfg = dict(k_test=4)
test_cfg = dict(k_test=4)
optim_wrapper = dict(optimizer=dict(lr=3e-3))
"""


def write_clips(folder: Path, count: int = 7) -> None:
    """``count`` clips of a coloured square that moves, two captions each for the first three."""
    rng = np.random.default_rng(0)
    lines = []
    for i in range(count):
        colour, way = list(COLOURS)[i % 3], WORDS[6 + i % 4 + 1]
        frames = np.full((6, 32, 32, 3), 200, np.uint8)
        for t, frame in enumerate(frames):
            at = 2 + 3 * t + int(rng.integers(3))
            frame[at : at + 8, 2 * i : 2 * i + 8] = COLOURS[colour]
        write_video(folder / f'clip{i}.mp4', frames)
        captions = [f'a {colour} square moves {way}', f'the {colour} square'][: 1 + (i < 3)]
        lines.append(json.dumps(dict(video=f'clip{i}.mp4', caption=captions)))
    for split in ('train', 'test'):
        (folder / f'{split}.jsonl').write_text('\n'.join(lines) + '\n')


def write_base(path: Path, seed: int = 0, **overrides) -> str:
    """Random weights of towers and heads, as a base file."""
    from tests.tiny import build_retriever

    model = build_retriever(torch.float32, seed=seed, **overrides)
    torch.save(dict(state_dict={name: param.detach() for name, param in model.named_parameters()}), path)
    return str(path)


def write_workspace(folder: Path, sampling: str = 'random', **model) -> Path:
    """Writes everything below ``folder`` and returns the config's path."""
    data = folder / 'data'
    data.mkdir(parents=True)
    write_clips(data)
    model = dict(dict(adapter=dict(type='UniAdapter', bottleneck=4), frame_aware=True), **model)
    config = retriever_config(
        write_vocabulary(folder / 'vocabulary'), base_checkpoint=dict(source=write_base(folder / 'base.pth')), **model
    )
    bases = ('datasets/jsonl_retrieval', 'schedules/adamw_cosine_5e', 'default_runtime')
    bases = ', '.join(repr(str(ROOT / 'configs/_base_' / f'{base}.py')) for base in bases)
    path = folder / 'config.py'
    path.write_text(CONFIG.format(bases=bases, size=SIZE, data=str(data), model=config, sampling=sampling))
    return path


def write_child(path: Path, parent: Path, **model) -> Path:
    """A config that inherits ``parent``; its settings of the model take the place of the parent's."""
    path.write_text(f'_base_ = [{str(parent)!r}]\nmodel = {model!r}\n')
    return path
