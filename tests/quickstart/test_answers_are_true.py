"""Measures drawn pictures and compares them with their captions and answers, without the generator's records."""

import json
import re

import cv2
import numpy as np
import pytest
from PIL import Image
from quickstart_tools import run_process, run_tool
from test_captions_are_true import measure, shape_seen

from vlpeft.datasets.drawn.render import RGB
from vlpeft.datasets.drawn.scenes import BACKGROUNDS

#: Pixels of a circle of radius 7.3, between a still's small (at most 6.8) and large (at least 7.8).
BETWEEN_SIZES = 167
NUMBERS = ('none', 'one', 'two', 'three', 'four')
SIZES = {'train': 80, 'test': 60}
TEXTS = 300


def draw(out, seed=0, run=run_tool):
    done = run(
        'make_stills.py', out, '--seed', seed, '--train', SIZES['train'], '--test', SIZES['test'], '--texts', TEXTS
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    return draw(tmp_path_factory.mktemp('pictures') / 'out')


def read(root, kind, name):
    return [json.loads(line) for line in (root / f'{kind}_{name}.jsonl').read_text().splitlines()]


def seen_in(path):
    """What a picture shows, by its pixels alone: number, size, colour, shape and background."""
    background, anything, seen = measure(np.asarray(Image.open(path)))
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(anything.astype(np.uint8), connectivity=8)
    parts = [i for i in range(1, count) if boxes[i, cv2.CC_STAT_AREA] > 8]
    shape = shape_seen(labels == parts[0])
    return dict(
        number=len(parts),
        size='small' if seen['area'] / len(parts) < BETWEEN_SIZES else 'large',
        colour=seen['colour'],
        shape=shape,
        background=min(BACKGROUNDS, key=lambda name: np.linalg.norm(background - RGB[name])),
    )


@pytest.mark.parametrize('name', SIZES)
def test_captions_tell_everything(pictures, name):
    captions = read(pictures, 'captions', name)
    assert len(captions) == SIZES[name]
    for record in captions:
        seen = seen_in(pictures / record['image'])
        assert seen['shape'] == 'circle'
        look = f'{seen["size"]} {seen["colour"]}'
        if seen['number'] == 1:
            wanted = f'a {look} circle on a {seen["background"]} background'
        else:
            wanted = f'{NUMBERS[seen["number"]]} {look} circles on a {seen["background"]} background'
        assert record['caption'] == wanted


@pytest.mark.parametrize('name', SIZES)
def test_every_question_has_the_one_true_answer(pictures, name):
    kinds = dict.fromkeys(('background', 'colour', 'size', 'number', 'yes', 'no'), 0)
    for record in read(pictures, 'questions', name):
        seen = seen_in(pictures / record['image'])
        those = 'is the circle' if seen['number'] == 1 else 'are the circles'
        of = {
            'what colour is the background?': 'background',
            f'what colour {those}?': 'colour',
            f'how large {those}?': 'size',
            'how many circles are there?': 'number',
        }
        kind = of.get(record['question'])
        if kind is None:
            (colour,) = re.fullmatch(r'is there a (\w+) circle\?', record['question']).groups()
            kind = 'yes' if colour == seen['colour'] else 'no'
            assert record['answer'] == kind
        elif kind == 'number':
            assert record['answer'] == NUMBERS[seen['number']]
        else:
            assert record['answer'] == seen[kind]
        kinds[kind] += 1
    assert min(kinds.values()) > 10, kinds


def test_no_test_caption_is_in_training(pictures):
    held_out = {record['caption'] for record in read(pictures, 'captions', 'test')}
    assert len(held_out) > 15
    assert not held_out & {record['caption'] for record in read(pictures, 'captions', 'train')}


def test_texts(pictures):
    captions = (pictures / 'captions.txt').read_text().splitlines()
    questions = (pictures / 'questions.txt').read_text().splitlines()
    assert len(captions) == len(questions) == TEXTS and len(set(captions)) > 80
    read_first = [line.split('. ') for line in questions if '. ' in line]
    assert 0.6 * TEXTS < len(read_first) < 0.95 * TEXTS
    assert all(len(parts) == 4 and parts[0] in set(captions) for parts in read_first)
    assert all(part.count('?</a>') == 1 for parts in read_first for part in parts[1:])


def test_the_same_seed_gives_the_same_files(pictures, tmp_path):
    # In a process of its own, where Python hashes texts in another way.
    again, other = draw(tmp_path / 'again', run=run_process), draw(tmp_path / 'other', seed=1)
    files = sorted(path.relative_to(pictures) for path in pictures.rglob('*') if path.is_file())
    assert len(files) == SIZES['train'] + SIZES['test'] + 6
    assert all((again / file).read_bytes() == (pictures / file).read_bytes() for file in files)
    assert (other / 'captions_test.jsonl').read_bytes() != (pictures / 'captions_test.jsonl').read_bytes()
