"""DiDeMo paragraphs, and videos whose suffix is not the annotation's."""

import json

import pytest

from tests import media
from vlpeft.datasets import AnnotationError, ClipError
from vlpeft.registry import DATASETS

ENTRIES = [
    ('b_1.mov', 'the dog comes in. '),
    ('a_1.mov', 'A man waves.'),
    ('b_1.mov', 'it sits'),
    ('c_1.AVI', 'rain'),
    ('b_1.mov', 'it leaves'),
    ('d_1.3gp', 'nothing here'),
]
PIPELINE = [dict(type='LoadClip', num_frames=4), dict(type='CleanText', max_words=64), dict(type='PackSample')]


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp('didemo')
    entries = [
        dict(
            video=video,
            description=text,
            num_segments=6,
            times=[[0, 0]],
            annotation_id=number,
            download_link='https://www.flickr.com/x',
            reference_description='',
        )
        for number, (video, text) in enumerate(ENTRIES)
    ]
    (folder / 'test_data.json').write_text(json.dumps(entries))
    videos = folder / 'videos'
    videos.mkdir()
    media.write_video(videos / 'a_1.mov', media.numbered_frames(40), fps=1)
    media.write_video(videos / 'a_1.mp4', media.numbered_frames(3))
    media.write_video(videos / 'b_1.mov.mp4', media.numbered_frames(20), fps=1)
    media.write_video(videos / 'c_1.mp4', media.numbered_frames(60), fps=2)
    for name in ('c_1.aac', 'b_1.mov.mp4.part', 'd_1.json', 'd_11.mov'):
        (videos / name).write_bytes(b'')
    return folder


def build(root, ann_file='test_data.json', **kwargs):
    return DATASETS.build(dict(type='DiDeMoRetrieval', data_root=str(root), ann_file=ann_file, **kwargs))


def test_all_descriptions_of_a_video_are_one_paragraph(root):
    dataset = build(root, test_mode=True)
    assert dataset.clip_names == ['b_1.mov', 'a_1.mov', 'c_1.AVI', 'd_1.3gp']
    assert dataset.texts == ['the dog comes in. it sits it leaves', 'A man waves.', 'rain', 'nothing here']
    assert dataset.text_to_clip == [0, 1, 2, 3]
    train = build(root)
    assert [train.get_data_info(number)['clip_id'] for number in range(len(train))] == [0, 1, 2, 3]


def test_files_are_found_under_other_suffixes_and_missing_ones_keep_their_name(root):
    dataset = build(root, test_mode=True, pipeline=PIPELINE)
    paths = [dataset.get_data_info(number)['path'] for number in range(4)]
    assert paths == [str(root / 'videos' / name) for name in ('b_1.mov.mp4', 'a_1.mov', 'c_1.mp4', 'd_1.3gp')]
    with pytest.raises(ClipError, match='d_1.3gp'):
        dataset[3]


@pytest.mark.parametrize('index, frames', [(0, [2, 7, 12, 17]), (1, [3, 11, 18, 26]), (2, [7, 22, 37, 52])])
def test_frames_come_from_the_thirty_seconds_that_were_annotated(root, index, frames):
    """20 s at 1 frame a second, 40 s at 1, and 30 s at 2."""
    item = build(root, test_mode=True, pipeline=PIPELINE)[index]
    assert item['data_samples'].frame_indices == frames
    assert [media.frame_number(frame.permute(1, 2, 0).numpy()) for frame in item['inputs']] == frames


def test_paragraphs_are_cleaned_whole(root):
    assert build(root, test_mode=True, pipeline=PIPELINE).texts[0] == 'the dog comes in it sits it leaves'


@pytest.mark.parametrize(
    'content, message',
    [
        ('{"video": "a"}', 'own.json:1: expected a list of objects'),
        ('[]', 'own.json holds no annotations'),
        (
            '[{"video": "a_1.mov", "description": "x"},\n {"video": "a_1.mov"}]',
            r"own.json:2: .*\[1\]: 'description' must",
        ),
        ('[{"video": 3, "description": "x"}]', r"own.json:\d+: .*\[0\]: 'video' must be a text"),
        (
            '[{"video": "../x.mov", "description": "x"}, {"video": "../../x.mov", "description": "x"}]',
            r"own.json:\d+: .*\[1\]: '\.\./\.\./x.mov' lies outside the data root",
        ),
        ('[{"video":', 'own.json:1: not valid JSON'),
    ],
)
def test_broken_files_are_named(root, content, message):
    (root / 'own.json').write_text(content)
    with pytest.raises(AnnotationError, match=message):
        build(root, 'own.json')
