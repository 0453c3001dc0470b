"""From files to batches through MMEngine's loader, and the shipped dataset configs."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from tests import media
from vlpeft.datasets.seeded_samples import seeded_loader
from vlpeft.registry import DATASETS

CONFIGS = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets'


@pytest.fixture(scope='module', autouse=True)
def scope():
    init_default_scope('vlpeft')


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """Six clips in the layouts of both configs."""
    folder = tmp_path_factory.mktemp('set')
    (folder / 'videos').mkdir()
    frames = media.numbered_frames(120, size=(48, 80))
    names = [f'video{number}' for number in range(6)]
    for number, name in enumerate(names):
        media.write_video(folder / 'videos' / f'{name}.mp4', frames[20 * number : 20 * number + 20])
    for file in ('train.jsonl', 'test.jsonl'):
        lines = [dict(video=f'videos/{name}.mp4', caption=[f'Text {name}.', 'another']) for name in names]
        (folder / file).write_text(''.join(json.dumps(line) + '\n' for line in lines))
    data = dict(videos=[], sentences=[dict(video_id=name, caption=f'text {k}') for name in names for k in range(2)])
    (folder / 'MSRVTT_data.json').write_text(json.dumps(data))
    (folder / 'MSRVTT_train.9k.csv').write_text('\n'.join(['video_id', *names]) + '\n')
    pairs = [f'{number},{number},{name},a {name}' for number, name in enumerate(names)]
    (folder / 'MSRVTT_JSFUSION_test.csv').write_text('\n'.join(['key,vid_key,video_id,sentence', *pairs]) + '\n')
    return folder


def load(root, name, part):
    config = Config.fromfile(str(CONFIGS / f'{name}.py'))
    loader = config[f'{part}_dataloader']
    loader.update(num_workers=2, batch_size=4, pin_memory=False)
    loader.dataset.data_root = str(root)
    return loader


@pytest.mark.parametrize('name', ['msrvtt_retrieval', 'jsonl_retrieval'])
def test_two_workers_give_batches_of_clips(root, name):
    loader = Runner.build_dataloader(load(root, name, 'train'), seed=0)
    batches = list(loader)
    assert [tuple(batch['inputs'].shape) for batch in batches] == [(4, 8, 3, 224, 224)] * 3
    assert all(batch['inputs'].dtype == torch.uint8 for batch in batches)
    samples = [sample for batch in batches for sample in batch['data_samples']]
    assert sorted(sample.clip_id for sample in samples) == [number for number in range(6) for _ in range(2)]
    for sample in samples:
        assert len(sample.frame_indices) == 8 and sample.text == sample.text.lower()


def test_the_test_loader_keeps_the_last_batch_order_and_frames(root):
    loader = Runner.build_dataloader(load(root, 'msrvtt_retrieval', 'test'), seed=0)
    first, second = list(loader), list(loader)
    assert [len(batch['data_samples']) for batch in first] == [4, 2]
    samples = [sample for batch in first for sample in batch['data_samples']]
    assert [(sample.clip_id, sample.text_ids, sample.texts) for sample in samples] == [
        (number, [number], [f'a video{number}']) for number in range(6)
    ]
    assert {tuple(sample.frame_indices) for sample in samples} == {(1, 3, 6, 8, 11, 13, 16, 18)}
    for one, two in zip(first, second):
        assert torch.equal(one['inputs'], two['inputs'])


@pytest.mark.parametrize('workers', [0, 2])
def test_training_draws_follow_run_epoch_and_sample_alone(root, workers):
    config = load(root, 'msrvtt_retrieval', 'train')
    config.num_workers = workers
    loader = seeded_loader(Runner.build_dataloader(config, seed=0), seed=0)

    def epoch(number, done=0):
        loader.batch_sampler.begin(number, done)
        state = torch.get_rng_state()
        return list(loader), torch.equal(state, torch.get_rng_state())

    (first, _), (repeated, _), (other, _) = epoch(0), epoch(0), epoch(1)
    for one, again, changed in zip(first, repeated, other):
        assert [s.name for s in one['data_samples']] == [s.name for s in changed['data_samples']]
        assert torch.equal(one['inputs'], again['inputs']) and not torch.equal(one['inputs'], changed['inputs'])
    draws = [[tuple(s.frame_indices) for s in batch['data_samples']] for batch in first]
    assert draws[0] != draws[1]
    rest, _ = epoch(0, done=1)
    assert len(rest) == len(first) - 1 == len(loader) - 1
    for one, again in zip(rest, first[1:]):
        assert torch.equal(one['inputs'], again['inputs'])


def test_configs_are_the_published_setting():
    config = Config.fromfile(str(CONFIGS / 'msrvtt_retrieval.py'))
    train, test = config.train_dataloader, config.test_dataloader
    assert (train.batch_size, train.num_workers, train.drop_last) == (8, 4, True)
    assert test.persistent_workers
    assert train.sampler == dict(type='DefaultSampler', shuffle=True)
    assert test.sampler == dict(type='DefaultSampler', shuffle=False, round_up=False)
    assert (train.dataset.split, test.dataset.split, test.dataset.test_mode) == ('train_9k', 'test_1ka', True)
    assert config.val_dataloader == test and config.val_evaluator == dict(type='RetrievalMetric')
    assert 'default_scope' not in config


def test_json_lines_by_override(root):
    lines = [dict(clip_name='video2', caption='x')]
    (root / 'few.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))
    config = load(root, 'msrvtt_retrieval', 'train')
    config.dataset.update(ann_file='few.jsonl', split=None)
    assert len(DATASETS.build(config.dataset)) == 1
