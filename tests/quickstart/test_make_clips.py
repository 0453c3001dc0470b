"""The generated set: repeatable, honestly split, and made to need adaptation."""

import hashlib
import itertools
import json
import re
from collections import Counter
from random import Random

import av
import pytest
from quickstart_tools import run_process, run_tool

from vlpeft.datasets.drawn import draw_clip_sets, draw_still_sets
from vlpeft.datasets.drawn.captions import EVENT_PHRASES, JOINT_PHRASES
from vlpeft.datasets.drawn.scenes import FRAMES, Scene, Thing, could_be_confused, draw_clip, things_touch

SMALL = ('--stills', 12, '--still-tests', 4, '--train', 12, '--val', 4, '--test', 8, '--captions', 2)


def read_lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def captions_of(file):
    return [text for line in read_lines(file) for text in line['caption']]


def words_of(file):
    return Counter(word for text in captions_of(file) for word in text.split())


def digest(folder):
    return {f.relative_to(folder): hashlib.sha256(f.read_bytes()).hexdigest() for f in folder.rglob('*') if f.is_file()}


def thing(colour, shape, event, second_colour=None):
    return Thing(colour, shape, 'small', (10.0, 10.0), (10.0, 10.0), event, second_colour)


def test_same_seed_same_bytes_on_any_number_of_workers(tmp_path):
    # The second in a process of its own, where Python hashes texts in another way.
    for run, name, seed, workers in ((run_tool, 'a', 3, 1), (run_process, 'b', 3, 2), (run_tool, 'c', 4, 2)):
        assert run('make_clips.py', tmp_path / name, *SMALL, '--seed', seed, '--workers', workers).returncode == 0
    first, second, other = (digest(tmp_path / name) for name in 'abc')
    assert first == second
    assert sum(path.suffix == '.mp4' for path in first) == 24
    assert first.keys() == other.keys() and not set(first.values()) & set(other.values())


def test_regenerates_only_when_parameters_change(tmp_path):
    run_tool('make_clips.py', tmp_path, *SMALL)
    clip = tmp_path / 'clips/videos/train_0000.mp4'
    before = clip.stat().st_mtime_ns
    assert 'up to date' in run_tool('make_clips.py', tmp_path, *SMALL).stdout
    assert clip.stat().st_mtime_ns == before
    assert 'up to date' not in run_tool('make_clips.py', tmp_path, *SMALL[:-1], 3).stdout
    assert clip.stat().st_mtime_ns > before
    assert len(read_lines(tmp_path / 'clips/train.jsonl')[0]['caption']) == 3


def test_an_interrupted_run_is_not_taken_for_complete(tmp_path):
    run_tool('make_clips.py', tmp_path, *SMALL)
    (tmp_path / 'stamp.json').unlink()
    (tmp_path / 'clips/videos/train_0000.mp4').unlink()
    run_tool('make_clips.py', tmp_path, *SMALL)
    assert (tmp_path / 'clips/videos/train_0000.mp4').exists()


def test_group_sizes_are_checked(tmp_path):
    done = run_tool('make_clips.py', tmp_path, '--test', 131)
    assert done.returncode == 2 and 'multiples of 2, got 32 and 131' in done.stderr


def test_files_are_small_h264_clips(quickstart_data):
    lines = read_lines(quickstart_data / 'clips/train.jsonl') + read_lines(quickstart_data / 'clips/test.jsonl')
    assert len(lines) >= 600 + 64
    for line in lines[::40]:
        with av.open(str(quickstart_data / 'clips' / line['video'])) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.width, stream.height) == ('h264', 64, 64)
            assert sum(1 for _ in container.decode(stream)) == FRAMES
    assert sum(f.stat().st_size for f in quickstart_data.rglob('*') if f.is_file()) < 30e6


def test_dataset_reads_the_annotations(quickstart_data):
    from vlpeft.registry import DATASETS

    pipeline = [
        dict(type='LoadClip', num_frames=4, sampling='middle'),
        dict(type='ClipResize', size=64),
        dict(type='CleanText', max_words=30),
        dict(type='PackSample'),
    ]
    for folder, frames in (('clips', 4), ('stills', 1)):
        steps = [dict(pipeline[0], num_frames=frames), *pipeline[1:]]
        data = DATASETS.build(
            dict(
                type='JSONLRetrieval',
                ann_file=str(quickstart_data / folder / 'test.jsonl'),
                test_mode=True,
                pipeline=steps,
            )
        )
        assert data[5]['inputs'].shape == (frames, 3, 64, 64)
        # Cleaning keeps the captions as they are, so the vocabulary made of the files fits.
        assert data.texts == captions_of(quickstart_data / folder / 'test.jsonl')


@pytest.mark.parametrize('folder', ['clips', 'stills'])
def test_every_test_caption_is_its_own_and_made_of_known_words(quickstart_data, folder):
    train, test = (quickstart_data / folder / f'{name}.jsonl' for name in ('train', 'test'))
    captions = captions_of(test)
    assert len(captions) >= 64 and len(set(captions)) == len(captions)
    assert not set(captions) & set(captions_of(train))
    rare = {word for word in words_of(test) if words_of(train)[word] < 10}
    assert not rare


def test_captions_are_clean_and_short(quickstart_data):
    for file in quickstart_data.glob('*/*.jsonl'):
        for text in captions_of(file):
            assert re.fullmatch(r'[a-z]+( [a-z]+)*', text) and len(text.split()) <= 30
            assert not re.search(r'\b(an [^aeiou]|a [aeiou])', text)


def test_only_events_are_told_in_words_that_stills_do_not_have(quickstart_data):
    known, told = words_of(quickstart_data / 'stills/train.jsonl'), words_of(quickstart_data / 'clips/test.jsonl')
    phrases = [*EVENT_PHRASES.values(), *JOINT_PHRASES.values()]
    of_events = {word for phrase in phrases for word in phrase.split()} | {'while'}
    new = {word for word in told if word not in known}
    assert new <= of_events
    assert {'slides', 'climbs', 'vanishing', 'swells', 'switches', 'turns', 'unison'} <= new
    assert 0.15 < sum(told[word] for word in new) / sum(told.values()) < 0.5


def test_without_stills_there_are_clips_alone(tmp_path):
    assert run_tool('make_clips.py', tmp_path, *SMALL[4:]).returncode == 0
    assert (tmp_path / 'clips/test.jsonl').is_file() and not (tmp_path / 'stills').exists()


def test_training_captions_paraphrase(quickstart_data):
    distinct = [len(set(line['caption'])) for line in read_lines(quickstart_data / 'clips/train.jsonl')]
    assert sum(distinct) / len(distinct) > 4.5


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_no_test_clip_fits_another_caption_and_no_combination_is_trained(seed):
    sets = draw_clip_sets(dict(train=640, val=32, test=64), Random(seed))
    for name in ('val', 'test'):
        assert not any(could_be_confused(*pair) for pair in itertools.combinations(sets[name], 2))
    held_out = {scene.combination for name in ('val', 'test') for scene in sets[name]}
    assert not held_out & {scene.combination for scene in sets['train']}
    # Looks alone find one clip in two only: the two clips of a group show the same things.
    looks = Counter(frozenset((t.colour, t.shape) for t in scene.things) for scene in sets['test'])
    assert all(count % 2 == 0 for count in looks.values())
    stills = draw_still_sets(dict(train=300, test=160), Random(seed))
    assert not any(could_be_confused(*pair) for pair in itertools.combinations(stills['test'], 2))


def test_confusion_is_by_meaning():
    blink = Scene('black', (thing('red', 'circle', 'blink'),))
    assert could_be_confused(blink, Scene('white', (thing('red', 'circle', 'blink'),)))
    assert not could_be_confused(blink, Scene('black', (thing('red', 'circle', 'resize'),)))
    # A lone thing says that it is alone.
    pair = Scene('black', (thing('red', 'circle', 'blink'), thing('blue', 'square', 'still')))
    assert not could_be_confused(blink, pair)
    # The order of things and of the colours of a change does not matter.
    swapped = Scene('black', (thing('blue', 'square', 'still'), thing('red', 'circle', 'blink')))
    assert could_be_confused(pair, swapped)
    assert could_be_confused(
        Scene('black', (thing('red', 'cross', 'recolour', 'cyan'),)),
        Scene('black', (thing('cyan', 'cross', 'recolour', 'red'),)),
    )
    # Two things in turns both blink.
    turns = Scene('black', (thing('red', 'circle', 'joint'), thing('blue', 'square', 'joint')), 'turns')
    both = Scene('black', (thing('red', 'circle', 'blink'), thing('blue', 'square', 'blink')))
    assert could_be_confused(turns, both)
    assert not could_be_confused(turns, Scene('black', turns.things, 'together'))

    def still(*cells):
        return Scene(
            'black', tuple(Thing('red', 'circle', 'small', (0.0, 0.0), (0.0, 0.0), cell=cell) for cell in cells)
        )

    assert could_be_confused(still(1), still(1, 2)) and could_be_confused(still(1, 2), still(3, 4, 5))
    assert not could_be_confused(still(0), still(1, 2))


def test_things_never_touch():
    rng = Random(5)
    for _ in range(100):
        scene = draw_clip([('red', 'circle'), ('blue', 'square')], rng)
        assert not things_touch(list(scene.things))
    left, right = (10.0, 10.0), (50.0, 10.0)
    assert things_touch([Thing('red', 'circle', 'large', left, right), Thing('red', 'circle', 'large', right, left)])


@pytest.mark.parametrize('frames', [4, 8])
@pytest.mark.parametrize('phase', range(8))
def test_segment_middles_see_both_states_of_a_change(frames, phase):
    blinking = Thing('red', 'circle', 'small', (10.0, 10.0), (10.0, 10.0), 'blink', phase=phase)
    middles = [int((i + 0.5) * FRAMES / frames) for i in range(frames)]
    assert 1 <= sum(blinking.is_first_half(frame) for frame in middles) < frames
