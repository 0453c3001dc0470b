"""The data tree of the sequence-to-sequence configs, small: annotations, stored features and images of eight tasks."""

from pathlib import Path

import h5py
import numpy as np

from tests.datasets.qa_files import ten, write_json, write_lines
from tests.media import write_image

IMAGES = dict(
    train=['COCO_train2014_000000000009', 'COCO_val2014_000000000011'],
    val=['COCO_val2014_000000000042'],
    test=['COCO_val2014_000000000043'],
)
GQA_IMAGES = dict(train='2354786', valid='2354787', testdev='n161313')
PAIRS = dict(train='train-10171-0', valid='dev-850-0', test='test1-0-1')
FRAMES = dict(s01=70, s02=9)


def write_tree(root: Path) -> Path:
    """Everything under ``root/data/vlpet``."""
    data = root / 'data' / 'vlpet'
    _write_coco(data)
    _write_gqa(data)
    _write_nlvr2(data)
    _write_value(data / 'video')
    return root


def _write_features(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        with h5py.File(folder / f'{name}.h5', 'w') as file:
            file[f'{name}/features'] = np.full((49, 2048), number, np.float16)


def _write_picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path)


def _write_coco(data: Path) -> None:
    questions, images = {}, []
    for split, names in IMAGES.items():
        questions[split] = [
            dict(
                img_id=name,
                question_id=int(name[-12:]) * 1000,
                sent='How many dogs?',
                label=label,
                question_type='how many',
                answer_type='number',
            )
            for name, label in zip(names, [{'2': 1.0, '3': 0.3}, {}])
        ]
        write_json(data / f'vqa/karpathy_{split}.json', questions[split])
        for name in names:
            folder = name.split('_')[1]
            _write_picture(data / f'COCO/images/{folder}/{name}.jpg')
            texts = [dict(raw=f'a dog in {split}'), dict(raw='two dogs')]
            images.append(dict(filename=f'{name}.jpg', filepath=folder, split=split, sentences=texts))
    write_json(data / 'COCO/dataset_coco.json', dict(images=images))
    answers = [dict(answer=answer) for answer in [*ten(two=7), '3', '3', '3']]
    write_json(
        data / 'vqa/v2_mscoco_val2014_annotations.json',
        dict(
            annotations=[
                dict(question_id=question['question_id'], answers=answers)
                for split in ('val', 'test')
                for question in questions[split]
            ]
        ),
    )
    _write_features(data / 'COCO/clip_features/data_clip_RN101_att', *sum(IMAGES.values(), []))


def _write_gqa(data: Path) -> None:
    for split, image in GQA_IMAGES.items():
        write_json(
            data / f'GQA/{split}.json',
            [dict(img_id=image, question_id=f'{split}1', sent='What is it?', label=dict(cat=1.0))],
        )
        _write_picture(data / f'GQA/images/{image}.jpg')
    _write_features(data / 'VG/clip_features/data_clip_RN101_att', GQA_IMAGES['train'], GQA_IMAGES['valid'])
    _write_features(data / 'GQA/clip_features/data_clip_RN101_att', GQA_IMAGES['testdev'])


def _write_nlvr2(data: Path) -> None:
    for split, pair in PAIRS.items():
        names = [f'{pair}-img{number}' for number in (0, 1)]
        write_json(
            data / f'nlvr/{split}.json',
            [dict(identifier=f'{pair}-0', img0=names[0], img1=names[1], label=1, sent='Both are red.', uid=split)],
        )
        for name in names:
            _write_picture(data / f'nlvr/images/{pair.split("-")[0]}/{name}.png')
        _write_features(data / 'nlvr/clip_features/data_clip_RN101_att', *names)


def _write_value(video: Path) -> None:
    for folder in ('tv', 'how2', 'yc2'):
        features = video / 'vis_features' / folder / 'clip-vit'
        features.mkdir(parents=True)
        for name, frames in FRAMES.items():
            np.savez(features / f'{name}.npz', features=np.ones((frames, 512), np.float32))
        (video / 'ann').mkdir(exist_ok=True)
        write_lines(
            video / f'ann/{folder}_subtitles.jsonl',
            [
                dict(
                    vid_name=name,
                    sub=[dict(text=f' Hello {name}. ', start=0, end=1), dict(text='Bye.', start=1, end=2)],
                )
                for name in FRAMES
            ],
        )
    splits = dict(tvqa=('train', 'val', 'test_release'), tvc=('train_release', 'val_release', 'test_release'))
    splits.update(how2qa=('train_release', 'val_release', 'test_public_release'), yc2c=splits['tvc'])
    for task, names in splits.items():
        (video / 'ann' / task).mkdir()
        for split in names:
            line = _question(task) if task.endswith('qa') else _moment(task)
            hidden = ('answer_idx', 'descs') if 'test' in split else ()
            kept = {key: value for key, value in line.items() if key not in hidden}
            write_lines(
                video / f'ann/{task}/{task}_{split}.jsonl',
                [
                    dict(kept, vid_name=name, **{key: line[key] + number for key in ('qid', 'clip_id') if key in line})
                    for number, name in enumerate(FRAMES)
                ],
            )


def _question(task: str) -> dict:
    choices = {f'a{number}': f'choice {number}. ' for number in range(5 if task == 'tvqa' else 4)}
    return dict(qid=7, q='Who is it?', ts='1.5-2', answer_idx=2, **choices)


def _moment(task: str) -> dict:
    descriptions = [dict(desc='a man walks', desc_id=1), dict(desc='he talks', desc_id=2)]
    stamp = dict(ts=[1.5, 2]) if task == 'tvc' else {}
    return dict(duration=60, clip_id=70, descs=descriptions, **stamp)
