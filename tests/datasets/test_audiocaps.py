"""Captions of sounds: AudioCaps and own data from annotation to fbank, its configs, and sounds that cannot be read."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

import vlpeft  # noqa: F401
from tests.datasets.qa_files import write_json, write_lines
from tests.sounds import sine, write_sound
from vlpeft.datasets import AnnotationError, ClipError, UnreadableClipsError
from vlpeft.registry import DATASETS

CONFIGS = Path(__file__).parents[2] / 'configs/_base_/datasets'
TEST = [
    dict(type='LoadAudio'),
    dict(type='Fbank', length=64),
    dict(type='ComposeText', template=''),
    dict(type='PackSample', task='caption'),
]
TRAIN = [*TEST[:2], dict(type='DrawTarget'), *TEST[2:]]
LISTS = dict(
    train=[
        dict(audio='train/a.wav', caption='a hum'),
        dict(audio='train/a.wav', caption='a tone'),
        dict(audio='train/b.flac', caption=['a beep', 'a high tone']),
    ],
    val=[dict(audio='val/c.wav', caption=[f'caption {number}' for number in range(5)])],
    test=[dict(audio='test/d.wav', caption=['one', 'two']), dict(audio='test/d.wav', caption='three')],
)


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """AudioCaps with four sounds, of 16 and 44.1 kHz."""
    root = tmp_path_factory.mktemp('tree')
    folder = root / 'data/audiocaps'
    for split, entries in LISTS.items():
        write_json(folder / f'annotation/audiocaps_caption_{split}.json', entries)
    for name, rate, pitch in (
        ('train/a.wav', 16000, 610),
        ('train/b.flac', 44100, 4080),
        ('val/c.wav', 16000, 984),
        ('test/d.wav', 16000, 984),
    ):
        write_sound(folder / 'audios' / name, sine(pitch, 1.0, rate), rate=rate)
    return root


@pytest.fixture()
def inside(tree, monkeypatch):
    monkeypatch.chdir(tree)


def build(root, split, **kwargs):
    return DATASETS.build(
        dict(
            type='AudioCaps',
            data_root=str(root / 'data/audiocaps'),
            ann_file=f'annotation/audiocaps_caption_{split}.json',
            **kwargs,
        )
    )


def infos(dataset):
    return [dataset.get_data_info(index) for index in range(len(dataset))]


def test_training_has_a_sample_for_each_caption(tree):
    items = infos(build(tree, 'train'))
    assert [(item['name'], item['caption']) for item in items] == [
        ('a', 'a hum'),
        ('a', 'a tone'),
        ('b', 'a beep'),
        ('b', 'a high tone'),
    ]
    assert items[2] == dict(
        name='b', path=str(tree / 'data/audiocaps/audios/train/b.flac'), media='audio', caption='a beep', sample_idx=2
    )


@pytest.mark.parametrize('split, references', [('val', LISTS['val'][0]['caption']), ('test', ['one', 'two', 'three'])])
def test_a_test_has_a_sample_for_each_sound_with_all_captions(tree, split, references):
    (item,) = infos(build(tree, split, test_mode=True))
    assert item['references'] == references and item['sample_id'] == LISTS[split][0]['audio']


@pytest.mark.parametrize(
    'entry, message',
    [
        (dict(caption='x'), r"entry\[1\]: 'audio' must be a text; keys found: caption"),
        (dict(audio='a.wav'), r"entry\[1\]: 'caption' must be a text or a list of texts"),
        (dict(audio='a.wav', caption=[]), r"entry\[1\]: 'caption' must be"),
        (dict(audio='../../../a.wav', caption='x'), 'lies outside the data root'),
    ],
)
def test_a_malformed_entry_is_named(tmp_path, entry, message):
    write_json(tmp_path / 'list.json', [LISTS['train'][0], entry])
    with pytest.raises(AnnotationError, match=message):
        DATASETS.build(dict(type='AudioCaps', ann_file=str(tmp_path / 'list.json'), data_prefix=dict(media='')))


def test_without_the_folder_of_sounds_there_is_no_set(tmp_path):
    write_json(tmp_path / 'list.json', LISTS['train'])
    with pytest.raises(FileNotFoundError, match='media folder .*audios does not exist'):
        DATASETS.build(dict(type='AudioCaps', ann_file=str(tmp_path / 'list.json')))


def first_batch(config, part):
    loader = config[f'{part}_dataloader']
    loader.update(num_workers=0, persistent_workers=False, pin_memory=False)
    return next(iter(Runner.build_dataloader(loader, seed=0)))


def test_training_batches_of_the_config(inside):
    config = Config.fromfile(CONFIGS / 'audiocaps.py')
    batch = first_batch(config, 'train')
    assert config.train_dataloader.batch_size == 8
    assert batch['inputs'].shape == (4, 1, 1024, 128) and batch['inputs'].dtype == torch.float32
    samples = [sample.to_dict() for sample in batch['data_samples']]
    assert all(set(sample) == {'task', 'name', 'text', 'target', 'weight'} for sample in samples)
    assert {(sample['task'], sample['text'], sample['weight']) for sample in samples} == {('caption', '', 1.0)}
    assert {(sample['name'], sample['target']) for sample in samples} == {
        ('a', 'a hum'),
        ('a', 'a tone'),
        ('b', 'a beep'),
        ('b', 'a high tone'),
    }
    # The masks are drawn for each sample, so two of the same sound differ.
    first, second = (inputs for inputs, sample in zip(batch['inputs'], samples) if sample['name'] == 'a')
    assert not torch.equal(first, second)


def test_validation_and_test_batches_of_the_config(inside):
    config = Config.fromfile(CONFIGS / 'audiocaps.py')
    for part in ('val', 'test'):
        batch = first_batch(config, part)
        (sample,) = batch['data_samples']
        assert config[f'{part}_dataloader'].batch_size == 64
        assert set(sample.keys()) == {'task', 'name', 'text', 'sample_id', 'references'} and sample.text == ''
        features = batch['inputs'][0, 0]
        # A second has 98 frames; those after it are the normalised padding.
        assert set(features[:98].argmax(dim=1).tolist()) == {43}
        torch.testing.assert_close(features[98:], torch.full((926, 128), 4.2677393 / 9.1379948))


def test_other_rates_are_resampled_or_kept_as_released(inside):
    def peak(recipe):
        dataset = Config.fromfile(CONFIGS.parents[1] / f'epalm/{recipe}.py').train_dataloader.dataset
        steps = [step for step in dataset.pipeline if step.type in ('LoadAudio', 'Fbank', 'ComposeText', 'PackSample')]
        features = DATASETS.build(dict(dataset, pipeline=steps))[2]['inputs'][0, :98]
        return set(features.argmax(dim=1).tolist())

    # 4080 Hz are 2166 mel: bin 97 of 128 up to 8 kHz (2840 mel), bin 70 of 128 up to 22.05 kHz (3924 mel).
    assert peak('epalm_opt-2.7b_ast_audiocaps') == {97}
    assert peak('epalm_opt-2.7b_ast_audiocaps_released') == {70}


def test_own_sounds(tmp_path):
    write_sound(tmp_path / 'sounds/hum.wav', np.concatenate([sine(610), sine(4080)]))
    write_lines(
        tmp_path / 'own.jsonl',
        [
            dict(audio='sounds/hum.wav', caption=['a hum', 'a tone']),
            dict(audio='sounds/hum.wav', caption='a beep', start=1, end=2),
        ],
    )
    config = dict(type='JSONLCaption', ann_file=str(tmp_path / 'own.jsonl'))
    train = DATASETS.build(dict(config, pipeline=TRAIN))
    assert [item['data_samples'].target for item in train] == ['a hum', 'a tone', 'a beep']
    item = train[2]
    assert set(item['inputs'][0].argmax(dim=1).tolist()) == {97}
    assert item['data_samples'].to_dict() == dict(task='caption', name='hum', text='', target='a beep', weight=1.0)
    test = infos(DATASETS.build(dict(config, test_mode=True)))
    assert [(item['sample_id'], item['media']) for item in test] == [
        ('sounds/hum.wav', 'audio'),
        ('sounds/hum.wav#t=1,2', 'audio'),
    ]


@pytest.mark.parametrize(
    'line, message',
    [
        (dict(caption='x'), "own.jsonl:1: expected one of 'video', 'image' and 'audio' with a path"),
        (dict(audio='a.wav', image='a.png', caption='x'), 'own.jsonl:1: expected one of'),
        (dict(audio='a.wav', caption='x', start=-1), "'start' must be seconds from the beginning of the audio, got -1"),
        (
            dict(sound='a.wav', caption='x'),
            "expected one of 'video', 'image' and 'audio' .*; keys found: sound, caption",
        ),
    ],
)
def test_malformed_lines_are_named(tmp_path, line, message):
    write_lines(tmp_path / 'own.jsonl', [line])
    with pytest.raises(AnnotationError, match=message):
        DATASETS.build(dict(type='JSONLCaption', ann_file=str(tmp_path / 'own.jsonl')))


def test_retrieval_takes_no_sounds(tmp_path):
    write_lines(tmp_path / 'own.jsonl', [dict(audio='a.wav', caption='x')])
    with pytest.raises(AnnotationError, match="expected one of 'video' and 'image' .*; keys found: audio, caption"):
        DATASETS.build(dict(type='JSONLRetrieval', ann_file=str(tmp_path / 'own.jsonl')))


def make_broken(folder):
    """A readable sound, one that is missing, one that is no sound and one too short for a frame."""
    write_sound(folder / 'good.wav', sine(984))
    write_sound(folder / 'short.wav', sine(984, 0.02))
    (folder / 'page.wav').write_text('<html>404</html>' * 100)
    write_lines(
        folder / 'own.jsonl', [dict(audio=f'{name}.wav', caption=name) for name in ('good', 'gone', 'page', 'short')]
    )
    return dict(type='AudioCaps', ann_file=str(folder / 'own.jsonl'), data_prefix=dict(media=''))


def test_training_replaces_unreadable_sounds_and_stops_above_the_rate(tmp_path):
    dataset = DATASETS.build(dict(make_broken(tmp_path), pipeline=TRAIN))
    assert [dataset[index]['data_samples'].name for index in range(4)] == ['good'] * 4
    reasons = {Path(path).name: reason for path, reason in dataset.unreadable.reasons.items()}
    assert reasons['gone.wav'] == 'no such file' and reasons['short.wav'] == '20 ms of sound, a frame takes 25 ms'
    assert reasons['page.wav'].startswith('not a readable sound file') and dataset.unreadable.replaced == 3
    dataset[1]
    with pytest.raises(UnreadableClipsError, match='5 of 6 samples were unreadable'):
        dataset[1]


def test_a_test_fails_on_an_unreadable_sound_or_marks_it(tmp_path):
    config = dict(make_broken(tmp_path), pipeline=TEST, test_mode=True)
    with pytest.raises(ClipError, match='gone.wav: no such file'):
        DATASETS.build(config)[1]
    item = DATASETS.build(dict(config, skip_unreadable=True))[1]
    assert item['data_samples'].unreadable == 'no such file' and item['data_samples'].sample_id == 'gone.wav'
    assert item['inputs'].shape == (1, 64, 128)
