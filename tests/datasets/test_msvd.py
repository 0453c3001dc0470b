"""MSVD, and what a pickle from others may not do."""

import os
import pickle
from collections import OrderedDict, defaultdict

import pytest

from tests import media
from vlpeft.datasets import AnnotationError
from vlpeft.datasets.safe_pickle import read_pickle
from vlpeft.registry import DATASETS

CAPTIONS = {
    'a_1_5': [['a', 'man', 'runs'], ['a', 'man', 'is', 'running']],
    'b_2_9': [['a', 'cat']],
    'c_0_3': [['rain'], ['it', 'rains'], ['drops']],
    'd_4_8': [['a', 'dog']],
}
LISTS = dict(train=['d_4_8'], val=['b_2_9'], test=['c_0_3', 'a_1_5'])


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'raw-captions.pkl').write_bytes(pickle.dumps(CAPTIONS))
    for split, names in LISTS.items():
        (tmp_path / f'{split}_list.txt').write_text('\n'.join(names) + '\n\n')
    (tmp_path / 'videos').mkdir()
    return tmp_path


def build(root, split='test', **kwargs):
    return DATASETS.build(
        dict(type='MSVDRetrieval', data_root=str(root), ann_file='raw-captions.pkl', split=split, **kwargs)
    )


def test_every_caption_of_the_lists_clips_is_a_query(root):
    dataset = build(root, test_mode=True)
    assert dataset.clip_names == LISTS['test']
    assert dataset.texts == ['rain', 'it rains', 'drops', 'a man runs', 'a man is running']
    assert dataset.text_to_clip == [0, 0, 0, 1, 1]
    info = build(root, 'train').get_data_info(0)
    assert info == dict(
        name='d_4_8', path=str(root / 'videos/d_4_8.avi'), media='video', text='a dog', clip_id=0, sample_idx=0
    )


def test_avi_clips_and_re_encoded_ones_are_read(root):
    media.write_video(root / 'videos/c_0_3.avi', media.numbered_frames(20), codec='mpeg4')
    media.write_video(root / 'videos/a_1_5.webm', media.numbered_frames(8), codec='libvpx')
    pipeline = [dict(type='LoadClip', num_frames=2), dict(type='CleanText'), dict(type='PackSample')]
    dataset = build(root, test_mode=True, pipeline=pipeline)
    assert dataset.get_data_info(1)['path'] == str(root / 'videos/a_1_5.webm')
    for item, frames in zip(dataset, ([5, 15], [2, 6])):
        assert [media.frame_number(frame.permute(1, 2, 0).numpy()) for frame in item['inputs']] == frames


@pytest.mark.parametrize(
    'content',
    [
        *(pickle.dumps(CAPTIONS, protocol) for protocol in range(6)),
        pickle.dumps(OrderedDict(CAPTIONS), 2),
        pickle.dumps(defaultdict(list, {name: tuple(map(tuple, texts)) for name, texts in CAPTIONS.items()}), 4),
    ],
)
def test_pickles_of_all_protocols_and_containers(root, content):
    (root / 'raw-captions.pkl').write_bytes(content)
    assert build(root, test_mode=True).texts[-1] == 'a man is running'


def test_texts_of_python_2_are_utf_8(tmp_path):
    (tmp_path / 'old.pkl').write_bytes(b"(dp0\nS'clip'\np1\n(lp2\n(lp3\nS'caf\\xc3\\xa9'\np4\naas.")
    assert read_pickle(str(tmp_path / 'old.pkl')) == dict(clip=[['café']])


class Calls:
    """Unpickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    'evil, named',
    [
        (lambda path: Calls(os.mkdir, path), f'{os.mkdir.__module__}.mkdir'),
        (lambda path: Calls(eval, f'__import__("os").mkdir({path!r})'), '(builtins|__builtin__).eval'),
        (lambda path: {'a_1_5': [['a']], 'z': [Calls(os.mkdir, path)]}, f'{os.mkdir.__module__}.mkdir'),
        (lambda path: Calls(getattr, Calls(__import__, 'os'), 'mkdir'), '(builtins|__builtin__).getattr'),
    ],
)
@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_a_pickle_that_names_anything_else_is_refused_and_not_run(root, evil, named, protocol):
    path = root / 'made by the pickle'
    (root / 'raw-captions.pkl').write_bytes(pickle.dumps(evil(str(path)), protocol))
    with pytest.raises(AnnotationError, match=rf'raw-captions.pkl: not a pickle .*asks for {named}, which is refused'):
        build(root)
    assert not path.exists()


def test_the_evil_pickle_of_these_tests_is_one(tmp_path):
    pickle.loads(pickle.dumps(Calls(os.mkdir, str(tmp_path / 'made'))))
    assert (tmp_path / 'made').exists()


def test_attributes_of_containers_cannot_be_reached(tmp_path):
    """Protocol 4 looks dotted names up: OrderedDict.__init__.__globals__ would lead on to anything."""
    name = b'OrderedDict.__init__.__globals__'
    content = b'\x80\x04\x8c\x0bcollections\x8c' + bytes([len(name)]) + name + b'\x93.'
    (tmp_path / 'dotted.pkl').write_bytes(content)
    with pytest.raises(AnnotationError, match='collections.OrderedDict.__init__.__globals__, which is refused'):
        read_pickle(str(tmp_path / 'dotted.pkl'))


@pytest.mark.parametrize(
    'name, content, message',
    [
        ('raw-captions.pkl', None, 'raw-captions.pkl does not exist'),
        ('raw-captions.pkl', b'', 'raw-captions.pkl: not a pickle'),
        ('raw-captions.pkl', pickle.dumps(CAPTIONS)[:40], 'raw-captions.pkl: not a pickle'),
        ('raw-captions.pkl', b'a,b\n1,2\n', 'raw-captions.pkl: not a pickle'),
        ('raw-captions.pkl', pickle.dumps([1]), 'raw-captions.pkl: expected a dict of captions by clip name, got list'),
        (
            'raw-captions.pkl',
            pickle.dumps(dict(c_0_3=['it rains'])),
            "captions of 'c_0_3' in .* must be a list of lists",
        ),
        (
            'raw-captions.pkl',
            pickle.dumps(dict(c_0_3=[['it', 3]])),
            "captions of 'c_0_3' in .* must be a list of lists",
        ),
        ('raw-captions.pkl', pickle.dumps(dict(c_0_3=7)), "captions of 'c_0_3' in .* must be a list of lists"),
        ('test_list.txt', None, 'test_list.txt does not exist'),
        ('test_list.txt', b'\n', 'holds no annotations'),
        ('test_list.txt', b'a_1_5\n\nx_9_9\n', "test_list.txt:3: clip 'x_9_9' has no caption in .*raw-captions.pkl"),
    ],
)
def test_broken_files_are_named(root, name, content, message):
    if content is None:
        (root / name).unlink()
    else:
        (root / name).write_bytes(content)
    with pytest.raises(AnnotationError, match=message):
        build(root)


def test_a_name_that_leaves_the_root_is_refused(root):
    (root / 'raw-captions.pkl').write_bytes(pickle.dumps({'../../a': [['x']]}))
    (root / 'test_list.txt').write_text('../../a\n')
    with pytest.raises(AnnotationError, match='test_list.txt:1: .*outside the data root'):
        build(root)


def test_an_unknown_split_lists_the_valid_ones(root):
    with pytest.raises(ValueError, match="unknown MSVD split 'dev'; valid: train, val, test"):
        build(root, 'dev')
