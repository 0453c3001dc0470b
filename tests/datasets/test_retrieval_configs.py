"""The data sets' config files on small data of their layout: what a training and a test batch look like."""

import json
import pickle
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

import vlpeft  # noqa: F401
from tests import media

CONFIGS = Path(__file__).parents[2] / 'configs/_base_/datasets'
SPLITS = ('train', 'val', 'test')


def write_images(root, pattern, folder):
    (root / folder).mkdir()
    for number, split in enumerate(SPLITS):
        image = f'{folder}/{split}.jpg'
        media.write_image(root / image, seed=number)
        entry = dict(image=image, caption=f'words of {split}', image_id=number)
        lists = [dict(entry, caption=[f'a {split}', f'the {split}'])] if split != 'train' else [entry] * 32
        (root / pattern.format(split)).write_text(json.dumps(lists))


def write_coco(root):
    write_images(root, 'coco_karpathy_{}.json', 'val2014')


def write_flickr30k(root):
    write_images(root, 'flickr30k_{}.json', 'flickr30k-images')


def write_didemo(root):
    (root / 'videos').mkdir()
    for split in SPLITS:
        media.write_video(root / f'videos/{split}.mov', media.numbered_frames(40))
        entries = [
            dict(video=f'{split}.mov', description=' '.join(f'w{part}{i}' for i in range(20))) for part in range(4)
        ]
        (root / f'{split}_data.json').write_text(json.dumps(entries))


def write_msvd(root):
    (root / 'videos').mkdir()
    (root / 'raw-captions.pkl').write_bytes(pickle.dumps({split: [['a', split]] * 8 for split in SPLITS}))
    for split in SPLITS:
        (root / f'{split}_list.txt').write_text(f'{split}\n')
        media.write_video(root / f'videos/{split}.avi', media.numbered_frames(20), codec='mpeg4')


@pytest.mark.parametrize(
    'name, write, train_shape, test_shape, texts',
    [
        ('coco', write_coco, (32, 1, 3, 384, 384), (1, 1, 3, 384, 384), 2),
        ('flickr30k', write_flickr30k, (32, 1, 3, 384, 384), (1, 1, 3, 384, 384), 2),
        ('didemo', write_didemo, (1, 8, 3, 224, 224), (1, 16, 3, 224, 224), 1),
        ('msvd', write_msvd, (8, 8, 3, 224, 224), (1, 8, 3, 224, 224), 8),
    ],
)
def test_batches(tmp_path, name, write, train_shape, test_shape, texts):
    write(tmp_path)
    config = Config.fromfile(CONFIGS / f'{name}_retrieval.py')
    for split in SPLITS:
        loader = config[f'{split}_dataloader']
        assert loader.dataset.data_root == f'data/{name}/'
        loader.dataset.data_root = str(tmp_path)
        loader.update(num_workers=0, persistent_workers=False, pin_memory=False, drop_last=False)
        batch = next(iter(Runner.build_dataloader(loader, seed=0)))
        assert tuple(batch['inputs'].shape) == (train_shape if split == 'train' else test_shape)
        sample = batch['data_samples'][0]
        assert split in sample.name
        assert 'texts' not in sample if split == 'train' else len(sample.texts) == texts
    if name == 'didemo':
        assert len(sample.texts[0].split()) == 64
