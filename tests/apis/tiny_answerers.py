"""A tiny model of each kind that answers or describes: config, data, base and trained checkpoints."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from tests import tiny_vlms
from tests.media import write_image, write_video
from tests.sounds import sine, write_sound
from tests.tiny import SIZE, WORDS, vqa_config, write_blip_bases, write_vocabulary
from tests.tiny_epalm import VISION, build_perceptual, perceptual_config
from tests.tiny_epalm import write_vocabulary as write_opt_vocabulary
from tests.tiny_vl import GRID, LM, build_vl, vl_config, write_tokenizer
from tests.workspace import ROOT
from vlpeft.engine.launch import load_config
from vlpeft.registry import MODELS

QUESTIONS = ('what is the big circle', 'is it red', 'left and right', 'what is it', 'the small blue square moves')
ANSWERS = ('red', 'green', 'big circle', 'left', 'the small blue square')
COUNT = 5
SMALL = dict(embed_dims=VISION, num_layers=6, num_heads=2, feedforward_channels=24)
#: Encoders of other media than images; a video has four frames, a sound 64 rows.
TIMESFORMER = dict(type='TimeSformer', width=VISION, depth=6, heads=2, img_size=16, patch_size=8, num_frames=4)
AST = dict(type='AST', arch=SMALL, num_frames=64, num_bins=128)
CLIP = [dict(type='LoadClip', num_frames=2), dict(type='ClipResize', size=SIZE)]
STILL = [dict(type='LoadClip', num_frames=1), dict(type='ClipResize', size=16)]
FILM = [dict(type='LoadClip', num_frames=4), dict(type='ClipResize', size=16)]
SOUND = [dict(type='LoadAudio'), dict(type='Fbank', length=64), dict(type='NormaliseFbank')]
SQUARE = [dict(type='LoadImages', size=32)]
KINDS = (
    *('blip_rank', 'blip_generate', 'epalm', 'epalm_video', 'bart', 't5', 'chat'),
    *('epalm_caption', 'sound_caption', 'video_caption', 'bart_caption', 't5_caption', 'chat_caption'),
)


class Answerer(NamedTuple):
    """A model in a folder: its ``config``, a ``checkpoint`` and an ``other`` one, and its test ``rows`` with their
    ``files``.
    """

    config: Path
    checkpoint: Path
    other: Path
    rows: list[dict]
    files: list[str]

    def predictions(self, checkpoint: Path | None = None) -> list[str]:
        """What the loop of ``tools/test.py`` predicts, in the order of the rows."""
        cfg = load_config(str(self.config))
        cfg.load_from = str(checkpoint or self.checkpoint)
        cfg.work_dir, cfg.experiment_name = str(self.config.parent / 'runs'), str(self.config)
        runner = Runner.from_cfg(cfg)
        runner.test()
        found = runner.test_evaluator.metrics[0].predictions
        return [row['answer' if 'answer' in row else 'caption'] for row in found]


def write_answerer(root: Path, kind: str) -> Answerer:
    """Everything of one of ``KINDS`` below ``root``."""
    root.mkdir(parents=True, exist_ok=True)
    media = 'audio' if kind.startswith('sound') else 'video' if 'video' in kind or 'blip' in kind else 'image'
    captions = kind.endswith('caption')
    model, steps, runtime = _model(root, kind, captions)
    files, rows = _write_media(root / 'data', media), []
    for number, file in enumerate(files):
        asked = dict(caption=ANSWERS[number]) if captions else dict(question=QUESTIONS[number], answer=ANSWERS[number])
        rows.append({media: Path(file).name, **asked})
    for split in ('train', 'test'):
        (root / f'data/{split}.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
    dataset = dict(
        type='JSONLCaption' if captions else 'JSONLQA',
        data_root=str(root / 'data'),
        ann_file='test.jsonl',
        test_mode=True,
        pipeline=steps,
    )
    if kind == 'blip_rank':
        dataset['answers_from'] = 'train.jsonl'
    collate = 'vlpeft.collate_chat' if kind.startswith('chat') else 'default_collate'
    loader = dict(
        batch_size=2,
        num_workers=0,
        persistent_workers=False,
        collate_fn=dict(type=collate),
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dataset,
    )
    metric = dict(type='CaptionMetric', tokenizer='python') if captions else dict(type='OpenEndedMetric')
    config = root / 'config.py'
    config.write_text(
        f'_base_ = {str(ROOT / "configs/_base_" / runtime)!r}\n'
        f'model = {model!r}\ntest_dataloader = {loader!r}\ntest_evaluator = {metric!r}\ntest_cfg = dict()\n'
    )
    # Draws of which the first says more than one thing.
    one, other = dict(sound_caption=(3, 0), epalm_caption=(7, 5), video_caption=(7, 5)).get(kind, (1, 2))
    checkpoints = [write_checkpoint(config, root / f'{seed}.pth', seed) for seed in (one, other)]
    return Answerer(config, *checkpoints, rows, files)


def write_checkpoint(config: Path, path: Path, seed: int) -> Path:
    """A checkpoint as a run leaves it: what was trained, here drawn, and of which base and method it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MODELS.build(Config.fromfile(config).model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, param in model.named_parameters():
            if name in model.declared:
                param.add_(torch.randn(param.shape, generator=generator) * 0.5)
    frozen = model.frozen_keys()
    state = {key: value for key, value in model.state_dict().items() if key not in frozen}
    torch.save(dict(state_dict=state, meta=dict(base=model.base, method=model.method)), path)
    return path


def _write_media(folder: Path, media: str) -> list[str]:
    folder.mkdir(parents=True)
    rng, files = np.random.default_rng(0), []
    for number in range(COUNT):
        if media == 'image':
            files.append(write_image(folder / f'{number}.png', seed=number))
        elif media == 'audio':
            files.append(write_sound(folder / f'{number}.wav', sine(200.0 * (number + 1))))
        else:
            files.append(str(folder / f'{number}.mp4'))
            write_video(folder / f'{number}.mp4', rng.integers(0, 256, (6, 32, 32, 3), np.uint8))
    return [str(file) for file in files]


def _model(root: Path, kind: str, captions: bool) -> tuple[dict, list[dict], str]:
    """Config of the model, steps of its test, and the runtime that its config inherits."""
    if kind.startswith('blip'):
        return _blip(root, kind)
    task = 'caption' if captions else 'vqa'
    text = dict(type='ComposeText', template='' if captions else '{question}</a>')
    pack = dict(type='PackSample', task=task)
    if kind.startswith('chat'):
        return _chat(root, task)
    if kind.startswith(('bart', 't5')):
        text['template'] = '<mask>' if kind == 'bart_caption' else 'vqa: {question}' if not captions else 'caption:'
        return _seq2seq(root, kind.partition('_')[0]), [*SQUARE, text, pack], 'seq2seq_runtime.py'
    way = 'sound' if kind.startswith('sound') else 'video' if 'video' in kind else 'image'
    steps = dict(sound=SOUND, video=FILM, image=STILL)[way]
    return _epalm(root, way), [*steps, text, pack], 'seq2seq_runtime.py'


def _blip(root: Path, kind: str) -> tuple[dict, list[dict], str]:
    write_blip_bases(root)
    model = vqa_config(
        write_vocabulary(root / 'vocabulary'),
        adapter=dict(type='UniAdapter', bottleneck=4),
        inference=kind.partition('_')[2],
        base_checkpoint=dict(source=str(root / 'GenerativeVQA.pth')),
        max_answer_length=6,
    )
    return model, [*CLIP, dict(type='CleanQuestion'), dict(type='PackSample')], 'answering_runtime.py'


def _epalm(root: Path, way: str) -> dict:
    encoders = dict(image={}, video=dict(encoder=TIMESFORMER), sound=dict(encoder=AST))
    model = build_perceptual(torch.float32, **encoders[way])
    for part in ('lm', 'encoder'):
        prefix = 'encoder.' if part == 'encoder' else ''
        state = {prefix + key: value for key, value in getattr(model, part).state_dict().items()}
        torch.save(state, root / f'{part}.pth')
    preprocessor = dict(data_preprocessor=dict(type='FeatureDataPreprocessor')) if way == 'sound' else {}
    bases = {part: dict(source=str(root / f'{part}.pth')) for part in ('lm', 'encoder')}
    vocabulary = write_opt_vocabulary(root / 'vocabulary')
    return perceptual_config('opt', vocabulary, base_checkpoint=bases, **encoders[way], **preprocessor)


def _seq2seq(root: Path, family: str) -> dict:
    vision = dict(
        type='mmpretrain.VisionTransformer',
        arch=dict(embed_dims=12, num_layers=2, num_heads=2, feedforward_channels=24),
        img_size=32,
        patch_size=8,
        out_type='raw',
        pre_norm=True,
    )
    options = dict(vision=vision, feature_width=12, grid=GRID)
    model = build_vl(family, dtype=torch.float32, **options)
    # The base's file knows nothing of the projection, as released ones do not.
    torch.save({key: value.detach() for key, value in model.lm.named_parameters()}, root / 'lm.bin')
    torch.save({f'backbone.{key}': value for key, value in model.vision.state_dict().items()}, root / 'vision.pth')
    assert family in LM
    return vl_config(
        family,
        write_tokenizer(root / family, family),
        adapter=dict(type='VLPET', granularity='large', bottleneck=4, heads=2, value_bottleneck=4),
        trainable=['heads', dict(parts='norms', towers=['encoder'])],
        base_checkpoint=dict(lm=dict(source=str(root / 'lm.bin')), vision=dict(source=str(root / 'vision.pth'))),
        tasks=dict(
            vqa=dict(max_text=40, generation=dict(max_length=6)),
            caption=dict(output='pred_caption', generation=dict(num_beams=3, max_length=6)),
        ),
        **options,
    )


def _chat(root: Path, task: str) -> tuple[dict, list[dict], str]:
    tiny_vlms.build('llava').save_pretrained(root / 'llava')
    tiny_vlms.processor('llava', root / 'llava')
    model = dict(
        type='ImageTextLM',
        model=str(root / 'llava'),
        dtype='float32',
        adapter=dict(type='LoRA', rank=2, targets=dict(towers=['lm'], kinds=['self_attn'])),
        base_checkpoint=dict(source=str(root / 'llava')),
        tasks=dict(vqa=dict(max_new_tokens=6), caption=dict(max_new_tokens=6, output='pred_caption')),
    )
    prompt = '{question}' if task == 'vqa' else 'describe the image'
    # The processor is the model's, as in recipes.
    steps = [dict(type='ToChat', prompt=prompt), dict(type='PackChat', task=task)]
    return model, steps, 'seq2seq_runtime.py'


assert all(word in WORDS or word in ('what', 'is', 'it') for text in (*QUESTIONS, *ANSWERS) for word in text.split())
