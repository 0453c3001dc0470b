"""Captioning sets: Karpathy's splits and own data."""

import pytest

from tests.datasets.qa_files import write_json, write_lines
from tests.media import write_image
from vlpeft.datasets import AnnotationError
from vlpeft.registry import DATASETS

IMAGES = [('train', 1, 2), ('restval', 2, 1), ('test', 3, 5), ('val', 4, 5)]


def build(kind, root, ann_file, **kwargs):
    return DATASETS.build(dict(type=kind, data_root=str(root), ann_file=ann_file, **kwargs))


def infos(dataset):
    return [dataset.get_data_info(index) for index in range(len(dataset))]


@pytest.fixture()
def coco(tmp_path):
    write_json(
        tmp_path / 'dataset_coco.json',
        dict(
            images=[
                dict(
                    filename=f'COCO_val2014_{number}.jpg',
                    filepath='val2014',
                    split=split,
                    sentences=[dict(raw=f'{split} {i}') for i in range(count)],
                )
                for split, number, count in IMAGES
            ]
        ),
    )
    return tmp_path


def test_training_has_an_item_for_each_reference_of_train_and_restval(coco):
    items = infos(build('KarpathyCaption', coco, 'dataset_coco.json', split='train'))
    assert [(item['name'], item['caption']) for item in items] == [
        ('COCO_val2014_1', 'train 0'),
        ('COCO_val2014_1', 'train 1'),
        ('COCO_val2014_2', 'restval 0'),
    ]
    assert items[2] == dict(
        name='COCO_val2014_2',
        path=str(coco / 'val2014/COCO_val2014_2.jpg'),
        media='image',
        caption='restval 0',
        sample_idx=2,
    )


@pytest.mark.parametrize('split, number', [('val', 4), ('test', 3)])
def test_a_test_has_an_item_for_each_image_with_all_references(coco, split, number):
    (item,) = infos(build('KarpathyCaption', coco, 'dataset_coco.json', split=split, test_mode=True))
    assert item['references'] == [f'{split} {i}' for i in range(5)] and 'caption' not in item
    assert item['sample_id'] == item['name'] == f'COCO_val2014_{number}'


def test_an_unknown_split_lists_the_valid_ones(coco):
    with pytest.raises(ValueError, match="unknown Karpathy split 'restval'; valid: train, val, test"):
        build('KarpathyCaption', coco, 'dataset_coco.json', split='restval')


def test_own_data(tmp_path):
    lines = [
        dict(image='stills/car.png', caption=['a car', 'a red car']),
        dict(image='stills/cat.png', caption='a cat'),
        dict(image='stills/car.png', caption='the car'),
        dict(video='a.mp4', caption='x', start=1, end=2),
    ]
    write_lines(tmp_path / 'own.jsonl', lines)
    train = infos(build('JSONLCaption', tmp_path, 'own.jsonl'))
    assert [(item['name'], item['caption']) for item in train] == [
        ('car', 'a car'),
        ('car', 'a red car'),
        ('cat', 'a cat'),
        ('car', 'the car'),
        ('a', 'x'),
    ]
    test = infos(build('JSONLCaption', tmp_path, 'own.jsonl', test_mode=True))
    assert [(item['sample_id'], item['references']) for item in test] == [
        ('stills/car.png', ['a car', 'a red car', 'the car']),
        ('stills/cat.png', ['a cat']),
        ('a.mp4#t=1,2', ['x']),
    ]


def test_own_images_make_a_sample(tmp_path):
    write_image(tmp_path / 'car.png')
    write_lines(tmp_path / 'own.jsonl', [dict(image='car.png', caption='a car')])
    steps = [
        dict(type='LoadImages', size=16),
        dict(type='DrawTarget'),
        dict(type='ComposeText', template='caption: '),
        dict(type='PackSample', task='caption'),
    ]
    item = build('JSONLCaption', tmp_path, 'own.jsonl', pipeline=steps)[0]
    assert item['inputs'].shape == (1, 3, 16, 16)
    assert item['data_samples'].to_dict() == dict(
        task='caption', name='car', text='caption: ', target='a car', weight=1.0
    )


def test_malformed_lines_are_named(tmp_path):
    write_lines(tmp_path / 'own.jsonl', [dict(image='a.png', caption='x'), dict(image='a.png', caption=[''])])
    with pytest.raises(AnnotationError, match="own.jsonl:2: 'caption' must be a text or a list of texts"):
        build('JSONLCaption', tmp_path, 'own.jsonl')
