"""Pictures of sets for people: the frames that the pipeline picks, whole and not resized."""

import json

import numpy as np
import pytest
from PIL import Image

from tests import media
from vlpeft.datasets import ClipError
from vlpeft.datasets.pictures import Pictures
from vlpeft.registry import DATASETS


def build(folder, kind, lines, pipeline=(), **more):
    (folder / 'set.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))
    return Pictures(
        DATASETS.build(dict(type=kind, ann_file=str(folder / 'set.jsonl'), test_mode=True, pipeline=pipeline, **more))
    )


@pytest.fixture
def folder(tmp_path):
    media.write_video(tmp_path / 'a.mp4', media.numbered_frames(40))
    media.write_image(tmp_path / 'b.png', size=(60, 90), seed=1)
    media.write_image(tmp_path / 'c.png', size=(30, 30), seed=2)
    (tmp_path / 'broken.mp4').write_bytes(b'nothing')
    return tmp_path


def test_a_video_gives_the_frames_that_the_pipeline_picks(folder):
    lines = [
        dict(video='a.mp4', caption='x'),
        dict(video='a.mp4', caption='y', start=1),
        dict(image='b.png', caption='z'),
        dict(video='broken.mp4', caption='w'),
    ]
    steps = [dict(type='LoadClip', num_frames=5, reader=dict(type='PyAVReader')), dict(type='ClipResize', size=16)]
    pictures = build(folder, 'JSONLRetrieval', lines, steps)
    assert [media.frame_number(frame) for frame in pictures.frames('a.mp4')] == [4, 12, 20, 28, 36]
    # From second 1, frame 10, on.
    assert [media.frame_number(frame) for frame in pictures.frames('a.mp4#t=1')] == [13, 19, 25, 31, 37]
    assert (pictures.frames('b.png')[0] == np.asarray(Image.open(folder / 'b.png').convert('RGB'))).all()
    with pytest.raises(ClipError):
        pictures.frames('broken.mp4')
    with pytest.raises(ClipError, match='no file of this name'):
        pictures.frames('other.mp4')
    plain = build(folder, 'JSONLRetrieval', lines)
    assert plain.frames('a.mp4').shape == (4, 48, 80, 3)


def test_several_images_follow_each_other_at_the_size_of_the_first(folder):
    line = dict(image=['b.png', 'c.png'], question='?', answer='x')
    frames = build(folder, 'JSONLQA', [line]).frames('b.png c.png')
    assert frames.shape == (2, 60, 90, 3)
    assert (frames[0] == np.asarray(Image.open(folder / 'b.png').convert('RGB'))).all()


def test_conversations_show_their_images_and_videos(folder):
    said = [dict(role='user', content='<image><video>what?'), dict(role='assistant', content='x')]
    line = dict(messages=said, images=['c.png'], videos=['a.mp4'])
    frames = build(folder, 'JSONLChat', [line]).frames('c.png a.mp4')
    assert frames.shape == (5, 30, 30, 3)


def test_sounds_and_sets_without_files_say_that_there_is_nothing_to_see(folder):
    media.write_audio_only(folder / 'a.wav')
    pictures = build(folder, 'JSONLCaption', [dict(audio='a.wav', caption='rain')])
    (name,) = [pictures.dataset.get_data_info(0)['name']]
    with pytest.raises(ClipError) as caught:
        pictures.frames(name)
    assert caught.value.reason == 'a sound'
    with pytest.raises(ClipError) as caught:
        Pictures([1, 2]).frames('x')
    assert 'does not say where its files are' in caught.value.reason
