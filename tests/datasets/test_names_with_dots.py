"""Names that share the part before their first dot are different clips, in captions, in questions and on disk."""

import pytest

from tests.datasets.qa_files import write_json
from tests.media import numbered_frames, write_video
from vlpeft.datasets import AnnotationError
from vlpeft.datasets.video_folder import VideoFolder, clip_name
from vlpeft.registry import DATASETS


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'videos').mkdir()
    for number in (1, 2):
        write_video(tmp_path / f'videos/talk.part{number}.mp4', numbered_frames(2 + number))
    return tmp_path


def infos(kind, root, records, **kwargs):
    write_json(root / 'own.json', records)
    dataset = DATASETS.build(dict(type=kind, data_root=str(root), ann_file='own.json', test_mode=True, **kwargs))
    return [dataset.get_data_info(number) for number in range(len(dataset))]


@pytest.mark.parametrize('suffix', ['.mp4', '.avi', '.mov.mp4'])
def test_captions(root, suffix):
    """One of the two vanished, its captions among the references of the other."""
    records = [dict(video=f'talk.part{number}{suffix}', caption=f'part {number}') for number in (1, 2)]
    assert [
        (info['sample_id'], info['name'], info['path'], info['references'])
        for info in infos('VideoCaption', root, records)
    ] == [
        (f'talk.part{number}', f'talk.part{number}', str(root / f'videos/talk.part{number}.mp4'), [f'part {number}'])
        for number in (1, 2)
    ]


@pytest.mark.parametrize('suffix', ['.mp4', '.avi', ''])
def test_questions(root, suffix):
    records = [dict(video=f'talk.part{number}{suffix}', question='q', answer='x', id=number) for number in (1, 2)]
    assert [(info['name'], info['path']) for info in infos('VideoQA', root, records)] == [
        (f'talk.part{number}', str(root / f'videos/talk.part{number}.mp4')) for number in (1, 2)
    ]


def test_another_part_never_stands_in_for_a_missing_one(root):
    """``talk.part3.mp4`` was read from ``talk.part1.mp4``."""
    files = VideoFolder(str(root / 'videos'))
    assert files.find('talk.part3.mp4') == 'talk.part3.mp4' and files.find('talk.mp4') == 'talk.mp4'
    assert files.find('talk.part2.MOV') == 'talk.part2.mp4'


@pytest.mark.parametrize(
    'file, name',
    [
        ('a.mov.mp4', 'a'),
        ('a.MP4', 'a'),
        ('talk.part1.mp4', 'talk.part1'),
        ('a', 'a'),
        ('v_x.5.2', 'v_x.5.2'),
        ('./a.mp4', './a'),
        ('.mp4', '.mp4'),
        ('sub.1/a.mp4', 'sub.1/a'),
    ],
)
def test_names(file, name):
    assert clip_name(file) == name


@pytest.mark.parametrize(
    'kind, records',
    [
        ('KarpathyCaption', [dict(image='x/1.jpg', caption='one'), dict(image='y/1.jpg', caption='two')]),
        ('KarpathyCaption', [dict(image='1.jpg', caption='one'), dict(image='1.png', caption='two')]),
    ],
)
def test_two_files_of_one_id_are_an_error(tmp_path, kind, records):
    with pytest.raises(AnnotationError, match=r"entry\[1\]: sample_id '1' was already used at .*entry\[0\]"):
        infos(kind, tmp_path, records)
