"""Own data in one JSONL file: samples, numbering, subsets, and every complaint."""

import json

import pytest
import torch

from tests import media
from vlpeft.datasets import AnnotationError
from vlpeft.registry import DATASETS

TRAIN = [
    dict(type='LoadClip', num_frames=4, sampling='random'),
    dict(type='ClipResize', size=16),
    dict(type='CleanText'),
    dict(type='PackSample'),
]
TEST = [dict(type='LoadClip', num_frames=4), *TRAIN[1:]]
LINES = [
    dict(video='a.mp4', caption=['A cat!', 'the cat sleeps']),
    dict(video='sub/b.mp4', caption='A dog.'),
    dict(video='./a.mp4', caption='a third text of a'),
    dict(video='a.mp4', caption='Only the end', start=2, end=3.5),
]


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp('own')
    (folder / 'sub').mkdir()
    frames = media.numbered_frames(80)
    media.write_video(folder / 'a.mp4', frames[:40])
    media.write_video(folder / 'sub' / 'b.mp4', frames[40:])
    media.write_image(folder / 'c.png')
    return folder


def write_lines(root, lines, name='own.jsonl'):
    text = ''.join((line if isinstance(line, str) else json.dumps(line)) + '\n' for line in lines)
    (root / name).write_text(text, encoding='utf-8')
    return str(root / name)


def build(root, lines=LINES, test_mode=False, **kwargs):
    pipeline = TEST if test_mode else TRAIN
    return DATASETS.build(
        dict(type='JSONLRetrieval', ann_file=write_lines(root, lines), pipeline=pipeline, test_mode=test_mode, **kwargs)
    )


def test_every_pair_is_a_training_sample_with_its_clips_id(root):
    items = list(build(root))
    samples = [item['data_samples'] for item in items]
    assert [(s.text, s.clip_id, s.name) for s in samples] == [
        ('a cat', 0, 'a.mp4'),
        ('the cat sleeps', 0, 'a.mp4'),
        ('a third text of a', 0, 'a.mp4'),
        ('a dog', 1, 'sub/b.mp4'),
        ('only the end', 2, 'a.mp4#t=2,3.5'),
    ]
    for item, first, stop in zip(items, [0, 0, 0, 0, 20], [40, 40, 40, 40, 35]):
        assert item['inputs'].shape == (4, 3, 16, 16) and item['inputs'].dtype == torch.uint8
        indices = item['data_samples'].frame_indices
        assert len(indices) == 4 and first <= indices[0] and indices[-1] < stop
    assert set(samples[0].keys()) == {'text', 'clip_id', 'name', 'frame_indices'}


def test_every_clip_is_a_test_sample_with_all_its_captions(root):
    dataset = build(root, test_mode=True)
    samples = [item['data_samples'] for item in dataset]
    assert [(s.texts, s.text_ids, s.clip_id, s.name) for s in samples] == [
        (['a cat', 'the cat sleeps', 'a third text of a'], [0, 1, 2], 0, 'a.mp4'),
        (['a dog'], [3], 1, 'sub/b.mp4'),
        (['only the end'], [4], 2, 'a.mp4#t=2,3.5'),
    ]
    assert dataset.clip_names == ['a.mp4', 'sub/b.mp4', 'a.mp4#t=2,3.5']
    assert dataset.texts == ['a cat', 'the cat sleeps', 'a third text of a', 'a dog', 'only the end']
    assert dataset.text_to_clip == [0, 0, 0, 1, 2]
    assert samples[0].frame_indices == [5, 15, 25, 35] and samples[2].frame_indices == [21, 25, 29, 33]
    assert torch.equal(dataset[0]['inputs'], dataset[0]['inputs'])


@pytest.mark.parametrize('serialize_data', [True, False])
@pytest.mark.parametrize('how', ['indices', 'get_subset', 'get_subset_', 'lazy_init'])
def test_a_subset_of_the_test_set_is_a_gallery_of_its_own(root, how, serialize_data):
    chosen = [1, 2]
    first = dict(indices=chosen) if how == 'indices' else dict(lazy_init=how == 'lazy_init')
    dataset = build(root, test_mode=True, serialize_data=serialize_data, **first)
    if how != 'indices':
        subset = getattr(dataset, 'get_subset' if how == 'lazy_init' else how)(chosen)
        dataset = subset or dataset
    assert (dataset.clip_names, dataset.text_to_clip) == (['sub/b.mp4', 'a.mp4#t=2,3.5'], [0, 1])
    assert [(s.texts, s.text_ids, s.clip_id) for s in (item['data_samples'] for item in dataset)] == [
        (['a dog'], [0], 0),
        (['only the end'], [1], 1),
    ]


def test_lazy_init_reads_no_file_and_then_numbers_the_gallery(root):
    config = dict(type='JSONLRetrieval', pipeline=TEST, test_mode=True, lazy_init=True)
    DATASETS.build(dict(config, ann_file=str(root / 'absent.jsonl')))
    dataset = DATASETS.build(dict(config, ann_file=write_lines(root, LINES)))
    assert dataset.text_to_clip == [0, 0, 0, 1, 2] and len(dataset) == 3


def test_images_are_clips_of_one_frame(root):
    item = build(root, [dict(image='c.png', caption='a picture')])[0]
    assert item['inputs'].shape == (1, 3, 16, 16) and item['data_samples'].frame_indices == [0]


def test_media_folder_and_absolute_paths_inside_the_root(root):
    lines = [
        dict(video='b.mp4', caption='x'),
        dict(video=str(root / 'a.mp4'), caption='y'),
        dict(video='../a.mp4', caption='z'),
    ]
    dataset = build(root, lines, data_root=str(root), data_prefix=dict(media='sub'))
    assert [dataset.get_data_info(index)['path'] for index in range(3)] == [
        str(root / 'sub/b.mp4'),
        str(root / 'a.mp4'),
        str(root / 'a.mp4'),
    ]


def test_blank_lines_and_a_byte_order_mark_are_no_samples(root):
    assert len(build(root, ['\ufeff' + json.dumps(LINES[1]), '', '   ', LINES[1]])) == 2


@pytest.mark.parametrize(
    'line, message',
    [
        ('{"video": "a.mp4", "caption": "x"', 'own.jsonl:3: not valid JSON'),
        ('[1, 2]', 'own.jsonl:3: expected a JSON object'),
        (dict(video='a.mp4', captoin='x'), "own.jsonl:3: unknown key 'captoin', is 'caption' meant"),
        (dict(caption='x'), "own.jsonl:3: expected one of 'video' and 'image'"),
        (dict(video='a.mp4', image='c.png', caption='x'), "own.jsonl:3: expected one of 'video' and 'image'"),
        (dict(video=7, caption='x'), 'own.jsonl:3: expected one of'),
        (dict(video='a.mp4'), "own.jsonl:3: 'caption' must be a text"),
        (dict(video='a.mp4', caption=' '), "own.jsonl:3: 'caption' must be a text"),
        (dict(video='a.mp4', caption=[]), "own.jsonl:3: 'caption' must be a text"),
        (dict(video='a.mp4', caption=['x', 3]), "own.jsonl:3: 'caption' must be a text"),
        (dict(video='a.mp4', caption='x', start=5, end=5), 'own.jsonl:3: empty range'),
        (dict(video='a.mp4', caption='x', end=0), 'own.jsonl:3: empty range'),
        (dict(video='a.mp4', caption='x', start=-1), "own.jsonl:3: 'start' must be seconds"),
        (dict(video='a.mp4', caption='x', end='5'), "own.jsonl:3: 'end' must be seconds"),
        (dict(video='a.mp4', caption='x', end=float('inf')), "own.jsonl:3: 'end' must be seconds"),
        (dict(image='c.png', caption='x', start=1), "own.jsonl:3: 'start' has no meaning for an image"),
        (dict(video='../a.mp4', caption='x'), r"own.jsonl:3: '../a.mp4' lies outside the data root"),
        (dict(video='sub/../../a.mp4', caption='x'), 'own.jsonl:3: .* lies outside the data root'),
        (dict(video='/etc/passwd', caption='x'), "own.jsonl:3: '/etc/passwd' lies outside the data root"),
    ],
)
def test_a_malformed_line_is_named_by_file_and_number(root, line, message):
    with pytest.raises(AnnotationError, match=message):
        build(root, [LINES[1], '', line])


def test_a_folder_whose_name_begins_like_the_roots_is_outside(root):
    with pytest.raises(AnnotationError, match='outside the data root'):
        build(root, [dict(video=f'../{root.name}-more/a.mp4', caption='x')])


@pytest.mark.parametrize('lines', [[], ['', '  ']])
def test_an_empty_file_is_an_error(root, lines):
    with pytest.raises(AnnotationError, match='own.jsonl holds no annotations'):
        build(root, lines)


def test_a_missing_file_or_folder_is_an_error(root):
    with pytest.raises(AnnotationError, match='absent.jsonl does not exist'):
        DATASETS.build(dict(type='JSONLRetrieval', ann_file=str(root / 'absent.jsonl')))
    with pytest.raises(FileNotFoundError, match='media folder .*clips does not exist'):
        build(root, data_root=str(root), data_prefix=dict(media='clips'))
