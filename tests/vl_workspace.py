"""The folders that VL-PET's configs read, filled with a few generated samples of every task."""

import json
from pathlib import Path

import h5py
import numpy as np
import torch

from tests.media import write_image
from tests.small_methods import shrink_methods
from tests.tiny_vl import EXTRA, FEATURES, GRID, LM, VOCAB, build_vl, write_tokenizer
from vlpeft.registry import MODELS
from vlpeft.testing.backbones import DEPTH, HEADS, WIDTH

COUNT = 8
VISION = dict(
    arch=dict(embed_dims=WIDTH, num_layers=DEPTH, num_heads=HEADS, feedforward_channels=24),
    img_size=32,
    patch_size=8,
    out_type='raw',
    pre_norm=True,
)
WORDS = ('red', 'green', 'blue')
# Files of stored features, and how their images are called.
IMAGES = {'COCO': 'COCO_val2014_{:012}', 'VG': '{}', 'GQA': 'n{}', 'nlvr': 'pair-{}-0'}
VIDEOS = ('tv', 'how2', 'yc2')


def write_data(root: Path) -> None:
    """Fills ``root``/data/vlpet."""
    folder, rng = root / 'data/vlpet', np.random.default_rng(0)
    for name, pattern in IMAGES.items():
        target = folder / name / 'clip_features/data_clip_RN101_att'
        target.mkdir(parents=True)
        for i in range(COUNT):
            for image in (f'{pattern.format(i)}-img{side}' if name == 'nlvr' else pattern.format(i) for side in (0, 1)):
                with h5py.File(target / f'{image}.h5', 'w') as file:
                    file[f'{image}/features'] = rng.normal(size=(9, FEATURES)).astype(np.float16)
    for i in range(COUNT):
        image = folder / 'COCO/images/val2014' / f'{IMAGES["COCO"].format(i)}.jpg'
        image.parent.mkdir(parents=True, exist_ok=True)
        write_image(image, seed=i)
    for name in VIDEOS:
        target = folder / 'video/vis_features' / name / 'clip-vit'
        target.mkdir(parents=True)
        for i in range(COUNT):
            np.savez(target / f'clip{i}.npz', features=rng.normal(size=(60 + i, FEATURES)).astype(np.float32))
    _write_images(folder)
    _write_videos(folder / 'video/ann')


def _write(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _write_images(folder: Path) -> None:
    ids = range(COUNT)
    questions = [
        dict(
            img_id=IMAGES['COCO'].format(i),
            question_id=i,
            sent='what is it',
            question_type='what is',
            answer_type='other',
            label={WORDS[i % 3]: 1.0, 'no': 0.3},
        )
        for i in ids
    ]
    for split in ('train', 'val', 'test'):
        _write(folder / f'vqa/karpathy_{split}.json', questions)
    answers = [dict(question_id=i, answers=[dict(answer=WORDS[i % 3], answer_id=j) for j in range(10)]) for i in ids]
    _write(folder / 'vqa/v2_mscoco_val2014_annotations.json', dict(annotations=answers))
    for split, pattern in (('train', IMAGES['VG']), ('valid', IMAGES['VG']), ('testdev', IMAGES['GQA'])):
        _write(
            folder / f'GQA/{split}.json',
            [dict(img_id=pattern.format(i), question_id=str(i), sent='who', label={WORDS[i % 3]: 1.0}) for i in ids],
        )
    for split in ('train', 'valid', 'test'):
        _write(
            folder / f'nlvr/{split}.json',
            [
                dict(
                    identifier=f'{split}-{i}-0-{j}',
                    img0=f'pair-{i}-0-img0',
                    img1=f'pair-{i}-0-img1',
                    label=(i + j) % 2,
                    sent='both are red',
                    uid=f'{split}-{i}-{j}',
                )
                for i in ids
                for j in (0, 1)
            ],
        )
    images = [
        dict(
            filename=f'{IMAGES["COCO"].format(i)}.jpg',
            filepath='val2014',
            cocoid=i,
            imgid=i,
            split=split,
            sentences=[dict(raw=f'a {word} square') for word in WORDS[:2]],
        )
        for i, split in enumerate(('train', 'train', 'restval', 'val', 'val', 'test', 'test', 'test'))
    ]
    _write(folder / 'COCO/dataset_coco.json', dict(images=images))


def _write_videos(folder: Path) -> None:
    folder.mkdir(parents=True)

    def lines(path: str, records: list) -> None:
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text('\n'.join(map(json.dumps, records)) + '\n')

    for name in VIDEOS:
        lines(
            f'{name}_subtitles.jsonl',
            [dict(vid_name=f'clip{i}', sub=[dict(text='look at this', start=0, end=1)]) for i in range(COUNT)],
        )
    for name, choices, splits in (
        ('tvqa', 5, ('train', 'val', 'test_release')),
        ('how2qa', 4, ('train_release', 'val_release', 'test_public_release')),
    ):
        for split in splits:
            answer = {} if 'test' in split else dict(answer_idx=1)
            lines(
                f'{name}/{name}_{split}.jsonl',
                [
                    dict(
                        qid=i,
                        vid_name=f'clip{i}',
                        show_name='x',
                        q='why',
                        ts='1-2',
                        **answer,
                        **{f'a{k}': f'word {k}' for k in range(choices)},
                    )
                    for i in range(COUNT)
                ],
            )
    for name in ('tvc', 'yc2c'):
        for split in ('train', 'val', 'test'):
            descs = {} if split == 'test' else dict(descs=[dict(desc='a man walks', desc_id=1, type='v')])
            lines(
                f'{name}/{name}_{split}_release.jsonl',
                [dict(vid_name=f'clip{i}', duration=9, ts=[1, 2], clip_id=i, **descs) for i in range(COUNT)],
            )


def write_vl_workspace(root: Path) -> Path:
    """Data of all tasks, and tokenizer and base of both language models. Returns ``root``."""
    write_data(root)
    for family in LM:
        write_vl_bases(root, family)
    return root


def write_vl_bases(root: Path, family: str) -> None:
    """Tokenizer and base of a language model, and the base of the vision tower."""
    write_tokenizer(root / family, family)
    # Like a released one it does not know the added tokens.
    lm = build_vl(family, dtype=torch.float32, vocab_size=VOCAB[family] - EXTRA).lm
    torch.save({key: value.detach() for key, value in lm.named_parameters()}, root / f'{family}.bin')
    vision = MODELS.build(dict(type='mmpretrain.VisionTransformer', **VISION))
    torch.save({f'backbone.{key}': value for key, value in vision.state_dict().items()}, root / 'vision.pth')


def shrink_vl_model(model: dict, root: Path) -> None:
    """Gives a config's model the tiny geometry, and files of ``root``; what it does stays as the config says."""
    family = model.lm.model_type
    model.update(lm=LM[family], vocab_size=VOCAB[family], vocabulary=str(root / family), feature_width=FEATURES)
    model.base_checkpoint = {
        part: dict(source=str(root / name))
        for part, name in (('lm', f'{family}.bin'), ('vision', 'vision.pth'))
        if part == 'lm' or model.get('vision')
    }
    model.grid = model.grid if model.grid == 8 else GRID
    for task in model.tasks.values():
        if 'generation' in task:
            task.generation.max_length = 6
        # One token for each letter: longer than words, and the tiny model has 64 positions.
        task.max_text = 50
    if model.get('vision'):
        model.vision.update(VISION)
        model.feature_width = WIDTH
    shrink_methods(model.get('adapter'))
