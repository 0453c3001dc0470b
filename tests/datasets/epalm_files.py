"""The data tree of eP-ALM's image and video configs, small: real pictures, real clips, annotations of every split."""

from pathlib import Path

from tests.datasets.qa_files import ten, write_json
from tests.media import numbered_frames, write_image, write_video

COCO = dict(
    train=['COCO_train2014_000000000009', 'COCO_train2014_000000000011'],
    val=['COCO_val2014_000000000042'],
    test=['COCO_val2014_000000000043'],
)
SPLITS = dict(
    karpathy_train='train', karpathy_val='val', karpathy_test='test', train_standard='train', val_standard='test'
)
GQA = dict(train='VG/VG_100K/2354786', valid='VG/VG_100K/2354787', testdev='GQA/images/n161313')
VIDEOS = ['video0', 'video1']


def write_tree(root: Path) -> Path:
    """Everything under ``root/data``: ``epalm/``, ``nocaps/``, ``msrvtt/`` and ``msvd/``."""
    _write_coco(root / 'data/epalm')
    _write_gqa(root / 'data/epalm')
    _write_nocaps(root / 'data/nocaps')
    _write_videos(root / 'data/msrvtt', 'msrvtt', '.mp4')
    _write_videos(root / 'data/msvd', 'msvd', '.avi')
    return root


def _write_picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path)


def _write_coco(data: Path) -> None:
    questions, images = {}, []
    for split, names in COCO.items():
        # The second training question has no scored answer.
        questions[split] = [
            dict(
                img_id=name,
                question_id=int(name[-12:]) * 1000,
                sent='Which side is the dog on?',
                label=label,
                question_type='which',
                answer_type='other',
            )
            for name, label in zip(names, [dict(left=1.0, up=0.3), {}])
        ]
        for name in names:
            folder = name.split('_')[1]
            _write_picture(data / f'COCO/images/{folder}/{name}.jpg')
            texts = [dict(raw=f'a dog in {split}'), dict(raw='two dogs')]
            images.append(dict(filename=f'{name}.jpg', filepath=folder, split=split, sentences=texts))
    for name, split in SPLITS.items():
        write_json(data / f'vqa/{name}.json', questions[split])
    write_json(data / 'COCO/dataset_coco.json', dict(images=images))
    write_json(
        data / 'vqa/v2_mscoco_val2014_annotations.json',
        dict(
            annotations=[
                dict(question_id=question['question_id'], answers=[dict(answer=answer) for answer in ten(Left=7, up=3)])
                for split in ('val', 'test')
                for question in questions[split]
            ]
        ),
    )


def _write_gqa(data: Path) -> None:
    for split, image in GQA.items():
        write_json(
            data / f'GQA/{split}.json',
            [
                dict(img_id=Path(image).name, question_id=f'{split}{number}', sent='What is it?', label=dict(cat=1.0))
                for number in range(10 if split == 'valid' else 1)
            ],
        )
        _write_picture(data / f'{image}.jpg')


def _write_nocaps(data: Path) -> None:
    for split, file in (('val', 'nocaps_val_4500_captions'), ('test', 'nocaps_test_image_info')):
        images = [dict(id=number, file_name=f'{split}{number}.jpg') for number in range(2)]
        captions = [dict(id=number, image_id=number % 2, caption=f'caption {number}') for number in range(20)]
        write_json(data / f'{file}.json', dict(images=images, **(dict(annotations=captions) if split == 'val' else {})))
        for image in images:
            _write_picture(data / split / image['file_name'])


def _write_videos(data: Path, name: str, suffix: str) -> None:
    (data / 'videos/all').mkdir(parents=True)
    for video in VIDEOS:
        codec = dict(codec='mpeg4') if suffix == '.avi' else {}
        write_video(data / f'videos/all/{video}{suffix}', numbered_frames(40), **codec)
    for split in ('train', 'val', 'test'):
        write_json(
            data / f'annotation/{name}_vqa_{split}.json',
            [
                dict(video=f'{video}{suffix}', question_id=number, sent='what runs?', label=dict(dog=1.0))
                for number, video in enumerate(VIDEOS)
            ],
        )
    for split in ('train', 'val', 'test', 'train7k'):
        write_json(
            data / f'annotation/{name}_caption_{split}.json',
            [dict(video=f'{video}{suffix}', caption=['a dog runs', f'{video} in {split}']) for video in VIDEOS],
        )
