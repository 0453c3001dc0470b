"""Batches of about equal length: every sample once an epoch, also on two processes, and resumed in the middle."""

import json
from collections import Counter

import pytest
import torch
import torch.multiprocessing as mp
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from tests.chat_layouts import CONTENTS, turns_of, written
from tests.ports import free_port
from tests.toy_tasks import join_group
from vlpeft.datasets import AnnotationError
from vlpeft.datasets.samplers import LengthGroupedBatchSampler
from vlpeft.datasets.seeded_samples import SeededBatches
from vlpeft.engine.launch import end_process_group

ANSWER = [('assistant', 'yes', 0)]
LENGTHS = torch.randint(1, 1000, (37,), generator=torch.Generator().manual_seed(0)).tolist()


class Samples(list):
    """A set that shows its samples."""

    def get_data_info(self, index):
        return self[index]


def caption(length):
    return dict(caption='x' * 4 * length, path='x.png')


def make(tokens=LENGTHS, batch_size=3, seed=5, shuffle=True, sampler=DefaultSampler, **options):
    dataset = Samples(map(caption, tokens))
    return LengthGroupedBatchSampler(sampler(dataset, shuffle=shuffle, seed=seed), batch_size, **options)


def epoch_of(sampler, epoch):
    sampler.sampler.set_epoch(epoch)
    return list(sampler)


def slow_epoch(epoch, world, batch_size, window, seed=5):
    """Batches of each rank, from the definition."""
    draw = torch.Generator().manual_seed(seed + epoch)
    order = torch.randperm(len(LENGTHS), generator=draw).tolist()
    while len(order) % world:
        order.append(order[len(order) - len(LENGTHS)])
    groups, together = [], batch_size * world
    while order:
        block, order = order[: window * together], order[window * together :]
        block = sorted(block, key=lambda index: -LENGTHS[index])
        while block:
            groups.append(block[:together])
            block = block[together:]
    groups = [groups[place] for place in torch.randperm(len(groups), generator=draw).tolist()]
    longest = max(groups, key=lambda group: max(LENGTHS[index] for index in group))
    place = groups.index(longest)
    groups[0], groups[place] = groups[place], groups[0]
    return [[group[rank::world] for group in groups] for rank in range(world)]


@pytest.mark.parametrize('window', [1, 4, 50])
def test_one_process_has_every_sample_once(window):
    sampler = make(window=window)
    seen = [epoch_of(sampler, epoch) for epoch in range(3)]
    for epoch, batches in enumerate(seen):
        assert batches == slow_epoch(epoch, 1, 3, window)[0]
        assert sorted(index for batch in batches for index in batch) == list(range(37))
        assert len(batches) == len(sampler) == 13
        assert max(LENGTHS) in [LENGTHS[index] for index in batches[0]]
    assert seen[0] != seen[1] and epoch_of(make(window=window, seed=6), 0) == seen[1]


def test_little_of_a_batch_is_padding():
    def padding(batches):
        longest = [max(LENGTHS[index] for index in batch) * len(batch) for batch in batches]
        return 1 - sum(LENGTHS) / sum(longest)

    plain = DefaultSampler(range(37), seed=5)
    order = list(plain)
    assert padding(epoch_of(make(), 0)) < 0.1 < 0.3 < padding([order[at : at + 3] for at in range(0, 37, 3)])


def draw(rank, world, port, out):
    join_group(rank, world, port)
    found = [epoch_of(make(batch_size=2, window=3), epoch) for epoch in range(2)]
    with open(f'{out}/{rank}.json', 'w') as file:
        json.dump(found, file)
    end_process_group()


def test_two_processes_share_every_epoch(tmp_path):
    mp.start_processes(draw, (2, free_port(), str(tmp_path)), nprocs=2, start_method='fork')
    found = [json.loads((tmp_path / f'{rank}.json').read_text()) for rank in range(2)]
    for epoch in range(2):
        ranks = [rank[epoch] for rank in found]
        assert ranks == slow_epoch(epoch, 2, 2, 3)
        together = Counter(index for batches in ranks for batch in batches for index in batch)
        # 37 samples on 2 processes: one comes twice.
        assert set(together) == set(range(37)) and sum(together.values()) == 38
        for first, second in zip(*ranks):  # nobody waits long for the other
            assert len(first) == len(second)


def test_an_epoch_can_be_resumed_in_its_middle():
    batches = SeededBatches(make(), 37, seed=5)
    batches.sampler.set_epoch(2)
    batches.begin(2)
    whole = list(batches)
    batches.begin(2, done=5)
    assert list(batches) == whole[5:] and batches.batch_size == 3


def test_without_shuffle_windows_follow_the_file():
    batches = epoch_of(make(shuffle=False, window=2), 7)
    assert [set(first + second) for first, second in zip(batches[::2], batches[1::2])] == [
        set(range(at, min(at + 6, 37))) for at in range(0, 36, 6)
    ]
    assert batches == epoch_of(make(shuffle=False, window=2), 8)


def test_a_rest_may_be_left_out():
    batches = epoch_of(make(drop_last=True), 0)
    assert {len(batch) for batch in batches} == {3} and len(batches) == len(make(drop_last=True)) == 12


def test_lengths_are_estimated_from_letters_and_media():
    turns, images = CONTENTS['several turns']
    letters = sum(len(text) for _, text, _ in turns)
    samples = Samples(
        [
            dict(turns=turns_of(turns), images=images, videos=['x']),
            dict(question='x' * 8, answers=['y' * 4, 'long' * 9], weights=[0.6, 0.4], paths=['a', 'b']),
            caption(7),
        ]
    )
    found = LengthGroupedBatchSampler(DefaultSampler(samples, seed=0), 1, media_tokens=100).lengths
    assert found.tolist() == [letters / 4 + 300, 2 + 1 + 200, 7 + 100]


def test_stored_lengths(tmp_path):
    path = tmp_path / 'lengths.json'
    path.write_text(json.dumps([5, 1, 9, 1.5]))
    sampler = make([1, 1, 1, 1], batch_size=1, lengths=str(path))
    assert sampler.lengths.tolist() == [5, 1, 9, 1.5] and epoch_of(sampler, 0)[0] == [2]
    for content, message in (
        ('[1, 2]', 'holds 2 lengths, the set has 4 samples'),
        ('{"x": 1}', 'expected a list of lengths'),
        ('[1, "x", 1, 1]', 'expected a list of lengths'),
        ('[1, -1, 1, 1]', 'expected a list of lengths'),
    ):
        path.write_text(content)
        with pytest.raises(AnnotationError, match=message):
            make([1, 1, 1, 1], lengths=str(path))
    with pytest.raises(AnnotationError, match='gone.json does not exist'):
        make(lengths=str(tmp_path / 'gone.json'))


def test_the_runner_builds_it_from_a_config(tmp_path):
    init_default_scope('vlpeft')
    records = [written('ms-swift', *CONTENTS['none']), written('ms-swift', [('user', 'x' * 99, 0), *ANSWER], [])] * 4
    (tmp_path / 'chat.json').write_text(json.dumps(records))
    loader = Runner.build_dataloader(
        dict(
            batch_size=2,
            num_workers=0,
            dataset=dict(type='JSONLChat', ann_file=str(tmp_path / 'chat.json'), pipeline=[_Pack()]),
            sampler=dict(type='DefaultSampler', shuffle=True),
            batch_sampler=dict(type='LengthGroupedBatchSampler', window=4),
            collate_fn=dict(type='vlpeft.collate_chat'),
        ),
        seed=3,
    )
    batches = [[sample['sample_id'] for sample in batch['data_samples']] for batch in loader]
    assert len(loader) == len(batches) == 4 and sorted(sum(batches, [])) == list(range(8))
    assert all(len({number % 2 for number in batch}) == 1 for batch in batches)  # odd ones are long
    assert batches[0][0] % 2


class _Pack:
    """Packs without a processor."""

    def __call__(self, results):
        return dict(inputs={}, data_samples=results)


@pytest.mark.parametrize(
    'options, kind, message',
    [
        (dict(window=0), ValueError, 'window must be at least 1'),
        (dict(batch_size=0), ValueError, 'batch_size must be at least 1'),
        (dict(media_tokens=0), ValueError, 'media_tokens must be at least 1'),
        (dict(sampler=InfiniteSampler), TypeError, "needs train_dataloader.sampler=dict.type='DefaultSampler'"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, kind, message):
    with pytest.raises(kind, match=message):
        make(**options)
    with pytest.raises(TypeError, match='get_data_info, which range has not'):
        LengthGroupedBatchSampler(DefaultSampler(range(3), seed=0), 1)
    with pytest.raises(ValueError, match='round_up=False could give'):
        LengthGroupedBatchSampler(DefaultSampler(range(3), seed=0, round_up=False), 1)
