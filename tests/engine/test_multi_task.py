"""Real runs of several tasks: one process and two (gloo), resuming, evaluation by task."""

import pytest
import torch
from mmengine.device import get_device
from mmengine.runner import Runner

from tests.ports import free_port
from tests.processes import run_on_ranks
from tests.toy_tasks import SCALES, join_group, noted, toy_config, toy_set, write_sets
from vlpeft.engine.launch import end_process_group
from vlpeft.registry import DATASETS

SIZES = dict(vqa=8, gqa=12, caption=4)
TASKS = tuple(SIZES)


@pytest.fixture
def folder(tmp_path):
    write_sets(tmp_path, **SIZES)
    return tmp_path


def run_all(folder, world):
    """What each of RUNS saw, its updates, weights and metrics, with batches that join to the same on any ``world``."""
    out = {}
    for name, options in RUNS.items():
        config = toy_config(folder, f'{name}{world}', TASKS, batch_size=4 // world, **options)
        config.train_dataloader.batch_sampler.batch_sizes = dict(gqa=6 // world)
        config.val_dataloader.gqa.dataset.indices = 5  # does not divide
        if world > 1:
            config.merge_from_dict(
                dict(
                    launcher='pytorch',
                    model_wrapper_cfg=dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False),
                )
            )
        runner = train(config)
        model = getattr(runner.model, 'module', runner.model)
        out[name] = dict(
            seen=model.seen, updates=noted(runner), metrics=runner.val_loop.run(), weights=model.cpu().state_dict()
        )
    return out


def run_on_rank(rank, world, port, folder):
    join_group(rank, world, port)
    torch.save(run_all(folder, world), folder / f'{rank}.pt')
    end_process_group()


RUNS = dict(plain={}, accumulated=dict(mixing=dict(mixing='balanced'), accumulate=2, clip=dict(max_norm=0.5)))


def test_two_processes_train_as_one_on_the_joined_batches(folder):
    run_on_ranks(run_on_rank, 2, free_port(), folder)
    one, two = run_all(folder, 1), [torch.load(folder / f'{rank}.pt', weights_only=True) for rank in range(2)]
    for name in RUNS:
        joined, *ranks = one[name], *(rank[name] for rank in two)
        assert [len(run['seen']) for run in (joined, *ranks)] == [dict(plain=10, accumulated=6)[name]] * 3
        for (task, ids), *parts in zip(joined['seen'], ranks[0]['seen'], ranks[1]['seen']):
            assert [part[0] for part in parts] == [task, task]
            assert sorted(parts[0][1] + parts[1][1]) == sorted(ids)
        for rank in ranks:
            assert len(rank['updates']) == len(joined['updates']) > 3
            for found, expected in zip(rank['updates'], joined['updates']):
                torch.testing.assert_close(found[1], expected[1], rtol=1e-10, atol=1e-12)
            torch.testing.assert_close(rank['weights'], joined['weights'], rtol=1e-10, atol=1e-12)
            assert rank['metrics'] == pytest.approx(joined['metrics'], rel=1e-9)
            assert {task: rank['metrics'][f'{task}/toy/count'] for task in TASKS} == dict(SIZES, gqa=5)


def train(config):
    runner = Runner.from_cfg(config)
    runner.train()
    return runner


@pytest.mark.parametrize('mixing', [{}, dict(mixing='balanced')])
def test_a_run_resumed_at_an_epoch_is_the_uninterrupted_one(folder, mixing):
    """5 (balanced: 4) batches an epoch and cycles of 2: without whole cycles, half a cycle would be lost."""
    options = dict(
        tasks=('vqa', 'gqa'),
        batch_size=4,
        epochs=3,
        accumulate=2,
        mixing=mixing,
        hooks=[dict(type='EpochSeedHook')],
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
    )
    whole = train(toy_config(folder, 'whole', **options))
    steps = len(whole.train_dataloader)
    assert len(whole.model.seen) == 3 * steps and whole.model.seen[:steps] != whole.model.seen[steps : 2 * steps]
    resumed = train(toy_config(folder, 'resumed', **options, load_from=str(folder / 'whole/epoch_1.pth'), resume=True))
    assert resumed.model.seen == whole.model.seen[steps:]
    assert torch.equal(resumed.model.linear.weight, whole.model.linear.weight)


def test_an_iteration_based_run_resumed_within_an_epoch_goes_on_there(folder):
    options = dict(
        tasks=('vqa', 'gqa'),
        batch_size=4,
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=7),
        val_dataloader=None,
        val_evaluator=None,
        val_cfg=None,
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=3, by_epoch=False)),
    )
    whole = train(toy_config(folder, 'whole', **options))
    assert whole.model.seen[:2] != whole.model.seen[5:]  # 5 batches an epoch
    resumed = train(toy_config(folder, 'resumed', **options, load_from=str(folder / 'whole/iter_3.pth'), resume=True))
    assert resumed.model.seen == whole.model.seen[3:]
    assert torch.equal(resumed.model.linear.weight, whole.model.linear.weight)


def slow_error(model, folder, task, count):
    """Mean absolute error sample by sample."""
    dataset = DATASETS.build(toy_set(folder, task))
    weight, bias = (param.detach().cpu() for param in model.linear.parameters())
    errors = []
    for i in range(count):
        sample = dataset[i]
        value = SCALES[task] * float(weight[0] @ sample['inputs'] + bias)
        errors.append(abs(value - sample['data_samples'].y))
    return sum(errors) / count


@pytest.mark.parametrize('save_best', ['auto', 'multi_task/mean'])
def test_tasks_are_evaluated_each_by_its_own_metrics(folder, save_best):
    config = toy_config(folder, 'run', TASKS, epochs=1)
    config.val_dataloader.gqa.dataset.indices = 5
    config.val_evaluator.vqa = [dict(type='ToyError', prefix='vqa'), dict(type='ToyError', prefix='other')]
    config.val_cfg.main = dict(vqa='vqa/error', gqa='gqa/toy/error')
    config.default_hooks = dict(checkpoint=dict(type='CheckpointHook', save_best=save_best, rule='less', interval=-1))
    config.test_dataloader, config.test_evaluator = config.val_dataloader, config.val_evaluator
    config.test_cfg = dict(type='MultiTaskTestLoop')
    runner = train(config)
    metrics = runner.val_loop.run()
    expected = {
        task: slow_error(runner.model, folder, task, count) for task, count in dict(vqa=8, gqa=5, caption=4).items()
    }
    assert metrics == pytest.approx(
        {
            'vqa/error': expected['vqa'],
            'vqa/count': 8,
            'vqa/other/error': expected['vqa'],
            'vqa/other/count': 8,
            'gqa/toy/error': expected['gqa'],
            'gqa/toy/count': 5,
            'caption/toy/error': expected['caption'],
            'caption/toy/count': 4,
            'multi_task/mean': (expected['vqa'] + expected['gqa']) / 2,
        }
    )
    assert [path.name for path in (folder / 'run').glob('best_*')] == ['best_multi_task_mean_epoch_1.pth']
    tested = runner.test()
    assert tested == {name: value for name, value in metrics.items() if name != 'multi_task/mean'}
    assert [metric.prefix for metric in runner.test_evaluator.metrics] == ['vqa', 'vqa/other', 'gqa/toy', 'caption/toy']


def test_amp_evaluates_in_bfloat16(folder):
    config = toy_config(folder, 'amp', ('vqa',))
    config.val_cfg.amp = True
    runner = Runner.from_cfg(config)
    seen, device = [], get_device()
    runner.model.register_forward_pre_hook(
        lambda *_: seen.append((torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)))
    )
    runner.val()
    assert set(seen) == {(True, torch.bfloat16)}


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(val_evaluator=dict(vqa=dict(type='ToyError'))), 'same tasks as keys: gqa, vqa and vqa'),
        (dict(val_cfg=dict(type='MultiTaskValLoop', main=dict(tvc='tvc/error'))), 'names tvc.*tasks gqa, vqa'),
        (dict(val_cfg=dict(type='MultiTaskValLoop', main=dict(vqa='toy/error'))), "'<task>/…', got vqa='toy/error'"),
        (
            dict(val_cfg=dict(type='MultiTaskValLoop', main=dict(vqa='vqa/accuracy'))),
            "no metric vqa='vqa/accuracy'; there are vqa/toy/error, vqa/toy/count, gqa/",
        ),
    ],
)
def test_names_that_do_not_fit_are_refused(folder, change, message):
    with pytest.raises(ValueError, match=message):
        Runner.from_cfg(toy_config(folder, 'wrong', **change)).val()
