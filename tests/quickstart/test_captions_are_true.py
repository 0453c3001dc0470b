"""Measures decoded pixels and compares them with what the captions say, without the generator's own records."""

import json
import re

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from vlpeft.datasets.drawn.captions import EVENT_PHRASES, JOINT_PHRASES, LONE, SYNONYMS
from vlpeft.datasets.drawn.render import RGB
from vlpeft.datasets.drawn.scenes import BACKGROUNDS, CELLS, COLOURS, SHAPES

PLAIN = {word: plain for plain, synonym in SYNONYMS.items() for word in (plain, synonym)}

# Pixels of a thing of radius 8.2, between a clip's small (6.6) and large (9.9).
BETWEEN_SIZES = {'square': 208, 'circle': 211, 'triangle': 112, 'cross': 152, 'ring': 158, 'diamond': 178}


def named(text, kinds):
    return {PLAIN[word] for word in text.split() if PLAIN.get(word) in kinds}


def event_of(text):
    found = {
        event for event, phrase in EVENT_PHRASES.items() if re.search(rf'\b{phrase.replace("{}", "[a-z]+")}\b', text)
    }
    assert len(found) == 1, text
    return found.pop()


def nearest_colour(pixels):
    return min(COLOURS, key=lambda name: np.linalg.norm(pixels.mean(0) - RGB[name]))


def count_things(mask):
    """Connected parts of a mask; specks of compression are none."""
    areas = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)[2][1:, cv2.CC_STAT_AREA]
    return int((areas > 8).sum())


def shape_seen(mask):
    """Shape whose ideal picture, with the half resolution of H.264's colour, overlaps most with the mask."""
    ys, xs = mask.nonzero()
    part = mask[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    height, width = part.shape
    ideal = {shape: np.zeros((64, 64), np.float32) for shape in SHAPES}
    ideal['square'][:] = 1
    cv2.circle(ideal['circle'], (32, 32), 32, 1, -1)
    cv2.fillPoly(ideal['triangle'], [np.array([(0, 63), (63, 63), (32, 0)])], 1)
    cv2.fillPoly(ideal['diamond'], [np.array([(0, 32), (32, 0), (63, 32), (32, 63)])], 1)
    ideal['ring'] = ideal['circle'].copy()
    cv2.circle(ideal['ring'], (32, 32), 16, 0, -1)
    ideal['cross'][21:43] = ideal['cross'][:, 21:43] = 1

    def overlap(picture):
        coarse = cv2.resize(picture, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
        seen = cv2.resize(coarse, (width, height)) > 0.5
        return (seen & part).sum() / (seen | part).sum()

    return max(SHAPES, key=lambda shape: overlap(ideal[shape]))


def measure(frame):
    """Background, mask of what differs from it, and centre, area, shape and colour of all that (None if nothing)."""
    frame = frame.astype(float)
    background = np.median(frame.reshape(-1, 3), axis=0)
    contrast = np.linalg.norm(frame - background, axis=-1)
    anything = contrast > 40
    if not anything.any():
        return background, anything, None
    # Half of the contrast is the edge of an anti-aliased shape.
    mask = contrast > contrast.max() / 2
    ys, xs = mask.nonzero()
    core = cv2.erode(mask.astype(np.uint8), np.ones((2, 2))).astype(bool)
    return (
        background,
        anything,
        dict(
            centre=np.array([xs.mean(), ys.mean()]) + 0.5,
            area=mask.sum(),
            shape=shape_seen(mask),
            colour=nearest_colour(frame[core if core.any() else mask]),
        ),
    )


def event_seen(seen):
    """The event of a lone thing, from its measurements in all frames."""
    there = [s for s in seen if s]
    if len(there) < len(seen):
        return 'blink'
    if len({s['colour'] for s in there}) > 1:
        return 'recolour'
    areas = np.array([s['area'] for s in there])
    if areas.max() > 3 * areas.min():
        return 'resize'
    spread = np.ptp([s['centre'] for s in there], axis=0)
    return {(False, False): 'still', (True, False): 'horizontal', (False, True): 'vertical'}[tuple(spread > 6)]


def clips(root, words, every=1):
    """Records and frames of the clips whose caption has one of the words; of the training clips only so many."""
    for name in ('train', 'val', 'test'):
        lines = (root / f'clips/{name}.jsonl').read_text().splitlines()
        for line in map(json.loads, lines[:: every if name == 'train' else 1]):
            if any(re.search(rf'\b{word}\b', line['caption'][0]) for word in words):
                with av.open(str(root / 'clips' / line['video'])) as container:
                    frames = [frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)]
                yield line, frames


def test_clips_of_one_thing(quickstart_data):
    events = set()
    for line, frames in clips(quickstart_data, LONE, every=4):
        measured = [measure(frame) for frame in frames]
        seen = [m[2] for m in measured]
        there = [s for s in seen if s]
        largest = max(there, key=lambda s: s['area'])
        for text in line['caption']:
            event = event_of(text)
            events.add(event)
            assert event == event_seen(seen), line
            assert named(text, COLOURS) == {s['colour'] for s in there}, line
            shapes = [s['shape'] for s in there if s['area'] > 0.7 * largest['area']]
            shape = max(SHAPES, key=shapes.count)
            assert named(text, SHAPES) == {shape}, line
            for background in named(text, BACKGROUNDS):
                assert min(BACKGROUNDS, key=lambda b: np.linalg.norm(measured[0][0] - RGB[b])) == background, line
            sizes = named(text, ('small', 'large'))
            assert sizes <= {'small' if largest['area'] < BETWEEN_SIZES[shape] else 'large'}, line
    assert events == set(EVENT_PHRASES)


@pytest.mark.parametrize('joint', JOINT_PHRASES)
def test_clips_of_two_things_that_come_and_go(quickstart_data, joint):
    count = 0
    for line, frames in clips(quickstart_data, [JOINT_PHRASES[joint]]):
        components = [count_things(measure(frame)[1]) for frame in frames]
        assert set(components) == ({1} if joint == 'turns' else {0, 2}), line
        colours = {measure(frame)[2]['colour'] for frame in frames if measure(frame)[2]}
        if joint == 'turns':
            assert colours == named(line['caption'][0], COLOURS), line
        count += 1
    assert count > 20


def test_stills(quickstart_data):
    lone = groups = relations = 0
    for line in map(json.loads, (quickstart_data / 'stills/train.jsonl').read_text().splitlines()):
        frame = np.asarray(Image.open(quickstart_data / 'stills' / line['image']))
        _, mask, seen = measure(frame)
        for text in line['caption']:
            count = re.search(r'\b(two|three|four)\b', text)
            place = re.search(r'at the (top left|top right|bottom left|bottom right|\w+)', text)
            relation = re.search(r'\b(left of|right of|above|below)\b', text)
            if count:
                groups += 1
                assert count_things(mask) == dict(two=2, three=3, four=4)[count[1]], line
                assert {seen['colour']} == named(text.replace('crosses', 'cross'), COLOURS), line
            elif place and ' and ' not in text:
                lone += 1
                column, row = (seen['centre'] // (64 / 3)).astype(int)
                assert CELLS[3 * row + column] == place[1], line
            elif relation and len(named(text, COLOURS)) == 2:
                relations += 1
                first, second = (locate(frame, words.split()) for words in text.split(relation[1]))
                axis, sign = {'left of': (0, 1), 'right of': (0, -1), 'above': (1, 1), 'below': (1, -1)}[relation[1]]
                assert sign * (second - first)[axis] > 5, line
    assert min(lone, groups, relations) > 200


def locate(frame, words):
    """Centre of the thing whose colour is among the words."""
    (colour,) = named(' '.join(words), COLOURS)
    nearest = np.argmin([np.linalg.norm(frame - np.array(RGB[c]), axis=-1) for c in (*COLOURS, *BACKGROUNDS)], axis=0)
    ys, xs = (nearest == COLOURS.index(colour)).nonzero()
    return np.array([np.median(xs), np.median(ys)])


def test_the_measurement_can_fail():
    frame = np.full((64, 64, 3), 14, np.uint8)
    moving = []
    for x in range(10, 50, 4):
        picture = frame.copy()
        cv2.circle(picture, (x, 20), 6, RGB['red'], -1)
        moving.append(measure(picture)[2])
    assert event_seen(moving) == 'horizontal' and event_seen([*moving, None]) == 'blink'
    assert moving[0]['colour'] == 'red' and event_seen(moving[:1] * 4) == 'still'
