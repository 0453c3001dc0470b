"""Schedules and batches of task mixing: worked values, three real processes, and every refusal."""

import json
import random
from collections import Counter

import pytest
import torch
import torch.multiprocessing as mp
from mmengine.config import Config
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.runner import Runner

from tests.ports import free_port
from tests.toy_tasks import join_group, toy_set, write_sets
from vlpeft.datasets import MultiTaskDataset
from vlpeft.datasets.samplers import TaskMixingBatchSampler
from vlpeft.engine.launch import end_process_group

SIZES = dict(vqa=11, gqa=5, caption=2)
ALL_SIZES = dict(batch_size=2, batch_sizes=dict(gqa=1))
CASES = dict(
    proportional=dict(ALL_SIZES),
    balanced=dict(ALL_SIZES, mixing='balanced'),
    temperature=dict(ALL_SIZES, mixing='temperature', temperature=3),
)


def make(sizes, seed=0, batch_size=1, sampler=DefaultSampler, shuffle=True, **kwargs):
    dataset = MultiTaskDataset({task: range(size) for task, size in sizes.items()})
    return TaskMixingBatchSampler(sampler(dataset, shuffle=shuffle, seed=seed), batch_size, **kwargs)


def letters(tasks):
    return ' '.join(task[0] for task in tasks)


def batches_of(sampler, epoch):
    sampler.sampler.set_epoch(epoch)
    return list(sampler)


def task_of(sampler, batch):
    (task,) = {task for task, indices in sampler.ranges.items() for index in batch if index in indices}
    return task


def test_seed_0_gives_the_released_schedule():
    sampler = make(dict(vqa=5, gqa=8), batch_size=2, order=['vqa', 'gqa'])
    assert sampler.counts == dict(vqa=3, gqa=4)
    assert letters(sampler.schedule(0)) == 'g g g v v v g'
    assert letters(sampler.schedule(1)) == 'v g v v g g g'
    for epoch, expected in enumerate(('g g g v v v g', 'v g v v g g g')):
        assert letters(task_of(sampler, batch) for batch in batches_of(sampler, epoch)) == expected


def test_seed_0_gives_the_released_order_within_a_task():
    sampler = make(dict(gqa=9, vqa=7), batch_size=3)
    for epoch in range(3):
        torchs = torch.utils.data.DistributedSampler(range(7), num_replicas=1, rank=0)
        torchs.set_epoch(epoch)
        drawn = [index - 9 for batch in batches_of(sampler, epoch) for index in batch if index >= 9]
        assert drawn == list(torchs)


def test_order_of_the_tasks_in_the_config_does_not_matter_unless_it_is_given():
    """MMEngine writes dicts sorted by key; the written config must give the same schedule."""
    sizes = dict(vqa=30, gqa=40)
    written = Config.fromstring(Config(dict(tasks=sizes)).pretty_text, '.py').tasks
    assert list(written) == ['gqa', 'vqa']
    assert make(sizes).schedule(3) == make(written).schedule(3)
    assert make(sizes, order=['vqa', 'gqa']).schedule(3) == make(written, order=['vqa', 'gqa']).schedule(3)
    assert make(sizes, order=['vqa', 'gqa']).schedule(3) != make(sizes).schedule(3)


def test_schedules_follow_the_seed_and_the_epoch():
    schedules = {
        (seed, epoch): tuple(make(dict(vqa=30, gqa=40), seed).schedule(epoch)) for seed in (0, 42) for epoch in (0, 1)
    }
    assert len(set(schedules.values())) == 4


@pytest.mark.parametrize(
    'mixing, counts',
    [
        # 16 batches; n^(1/2) = 3, 2, sqrt(3): shares 7.13, 4.75, 4.12.
        (dict(mixing='temperature', temperature=2), dict(vqa=7, gqa=5, caption=4)),
        (dict(mixing='temperature', temperature=1), dict(vqa=9, gqa=4, caption=3)),
        (dict(mixing='temperature', temperature=1e9), dict(vqa=6, gqa=5, caption=5)),
        (dict(mixing='balanced'), dict(vqa=5, gqa=5, caption=5)),
        (dict(mixing='proportional'), dict(vqa=9, gqa=4, caption=3)),
    ],
)
def test_batches_per_epoch(mixing, counts):
    sampler = make(dict(vqa=9, gqa=4, caption=3), **mixing)
    assert sampler.counts == counts and len(sampler) == sum(counts.values())
    assert Counter(task_of(sampler, batch) for batch in sampler) == counts


def test_small_sets_are_repeated_and_large_ones_seen_evenly():
    """Balanced over 4 epochs: 5 batches an epoch of 3 (small) and 7 (large) in a walk."""
    sampler = make(dict(large=7, small=3), mixing='balanced')
    drawn = [batch[0] for epoch in range(4) for batch in batches_of(sampler, epoch)]
    large, small = [i for i in drawn if i < 7], [i for i in drawn if i >= 7]
    assert len(large) == len(small) == 20
    for walk in range(20 // 7):
        assert sorted(large[7 * walk : 7 * walk + 7]) == list(range(7))
    for walk in range(20 // 3):
        assert sorted(small[3 * walk : 3 * walk + 3]) == [7, 8, 9]
    assert large[:7] != large[7:14]


def test_without_shuffle_samples_stay_in_order_and_tasks_are_still_mixed():
    sampler = make(dict(vqa=20, gqa=20), shuffle=False)
    drawn = [batch[0] for batch in sampler]
    assert [i for i in drawn if i < 20] == list(range(20)) and [i for i in drawn if i >= 20] == list(range(20, 40))
    assert drawn != sorted(drawn)


def draw(rank, world, port, out):
    join_group(rank, world, port)
    found = {name: [batches_of(make(SIZES, 5, **case), epoch) for epoch in range(3)] for name, case in CASES.items()}
    with open(f'{out}/{rank}.json', 'w') as file:
        json.dump(found, file)
    end_process_group()


def slow_epochs(case, world, epochs):
    """Batches of each rank, from the definition: whole walks are dealt to the ranks like cards, then cut up."""
    counts = dict(
        proportional=dict(caption=1, gqa=2, vqa=2),
        balanced=dict(caption=1, gqa=1, vqa=1),
        # 5 batches; cube roots 1, 1.26, 1.26: shares 1.42, 1.79, 1.79.
        temperature=dict(caption=1, gqa=2, vqa=2),
    )[case]
    starts, size = dict(vqa=0, gqa=11, caption=16), dict(vqa=2, gqa=1, caption=2)
    ranks = [[] for _ in range(world)]
    queues = [{task: [] for task in SIZES} for _ in range(world)]
    for task, n in SIZES.items():
        for walk in range(20):
            order = torch.randperm(n, generator=torch.Generator().manual_seed(5 + walk)).tolist()
            while len(order) % world:
                order.append(order[len(order) - n])
            for rank in range(world):
                hand = [starts[task] + order[i] for i in range(rank, len(order), world)]
                while hand:
                    queues[rank][task].append(hand[: size[task]])
                    hand = hand[size[task] :]
    for epoch in range(epochs):
        steps = [task for task in sorted(counts) for _ in range(counts[task])]
        random.Random(5 + epoch).shuffle(steps)
        for rank in range(world):
            ranks[rank].append([queues[rank][task].pop(0) for task in reversed(steps)])
    return ranks


def test_three_processes_share_every_walk(tmp_path):
    """11, 5 and 2 samples on 3 processes: nothing divides."""
    mp.start_processes(draw, (3, free_port(), str(tmp_path)), nprocs=3, start_method='fork')
    found = [json.loads((tmp_path / f'{rank}.json').read_text()) for rank in range(3)]
    for case in CASES:
        assert [rank[case] for rank in found] == slow_epochs(case, 3, 3)
    for epoch in range(3):
        of_ranks = [rank['proportional'][epoch] for rank in found]
        sampler = make(SIZES)
        assert len({tuple(task_of(sampler, batch) for batch in batches) for batches in of_ranks}) == 1
        together = Counter(index for batches in of_ranks for batch in batches for index in batch)
        assert set(together) == set(range(18))
        assert sum(together.values()) == 12 + 6 + 3


def test_dataset_holds_the_sets_one_after_the_other(tmp_path):
    write_sets(tmp_path, vqa=3, gqa=2)
    dataset = MultiTaskDataset(dict(vqa=toy_set(tmp_path, 'vqa'), gqa=toy_set(tmp_path, 'gqa', indices=1)))
    assert dataset.task_ranges == dict(vqa=range(3), gqa=range(3, 4)) and len(dataset) == 4
    assert [dataset[i]['data_samples'].task for i in range(4)] == ['vqa'] * 3 + ['gqa']
    assert [dataset[i]['data_samples'].id for i in range(4)] == [0, 1, 2, 100]
    assert dataset.metainfo == dict(tasks=dict(vqa=dict(name='vqa'), gqa=dict(name='gqa')))


@pytest.mark.parametrize('tasks, message', [({}, 'tasks is empty'), (dict(vqa=[1], gqa=[]), 'set of gqa is empty')])
def test_sets_that_cannot_be_mixed_are_refused(tasks, message):
    with pytest.raises(ValueError, match=message):
        MultiTaskDataset(tasks)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(batch_sizes=dict(vqa=2, nlvr=2)), 'batch_sizes names nlvr; the set has the tasks vqa, gqa'),
        (dict(batch_sizes=dict(vqa=0)), "1 or more, got {'vqa': 0}"),
        (dict(order=['vqa']), 'order is vqa; the set has the tasks vqa, gqa'),
        (dict(order=['vqa', 'gqa', 'gqa']), 'order is vqa, gqa, gqa'),
        (dict(mixing='roundrobin'), "'roundrobin', valid: proportional, balanced, temperature"),
        (dict(mixing='temperature'), 'set both or neither'),
        (dict(temperature=2), 'set both or neither'),
        (dict(mixing='temperature', temperature=0.5), '1 or more, got 0.5'),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(dict(vqa=4, gqa=4), **options)


def test_other_samplers_and_sets_are_refused():
    dataset = MultiTaskDataset(dict(vqa=range(3)))
    with pytest.raises(TypeError, match='DefaultSampler.*got InfiniteSampler'):
        TaskMixingBatchSampler(InfiniteSampler(dataset, seed=0), 2)
    with pytest.raises(ValueError, match='round_up'):
        TaskMixingBatchSampler(DefaultSampler(dataset, seed=0, round_up=False), 2)
    loader = dict(
        dataset=dict(type='MultiTaskDataset', tasks=dict(vqa=range(9))),
        batch_size=2,
        num_batch_per_epoch=2,
        sampler=dict(type='DefaultSampler'),
        batch_sampler=dict(type='TaskMixingBatchSampler'),
    )
    with pytest.raises(TypeError, match='no num_batch_per_epoch'):
        Runner.build_dataloader(loader, seed=0)
