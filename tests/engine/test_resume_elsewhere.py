"""Runs resumed on another number of processes, with another batch size or set; and training by iterations."""

import pytest
import torch
from mmengine.runner import Runner

from tests.ports import free_port
from tests.processes import run_on_ranks
from tests.toy_tasks import join_group, noted, toy_config, write_sets
from vlpeft.checkpoint import CheckpointError
from vlpeft.engine.launch import end_process_group
from vlpeft.engine.position import Position

SIZE, EPOCHS = 24, 4
CHECKPOINTS = dict(checkpoint=dict(type='ToyCheckpointHook', interval=1))


@pytest.fixture
def folder(tmp_path):
    write_sets(tmp_path, vqa=SIZE)
    return tmp_path


def toy_run(folder, name, batch_size, schedule, **options):
    """One task, a rate that every iteration changes, a checkpoint every epoch."""
    config = toy_config(
        folder,
        name,
        ('vqa',),
        batch_size=batch_size,
        epochs=EPOCHS,
        param_scheduler=schedule,
        default_hooks=CHECKPOINTS,
        hooks=[dict(type='EpochSeedHook')],
        **options,
    )
    config.log_level = 'INFO'
    runner = Runner.from_cfg(config)
    runner.train()
    return runner


SCHEDULES = dict(
    linear=lambda: [
        dict(type='LinearLR', start_factor=0.25, begin=0, end=1, by_epoch=True, convert_to_iter_based=True),
        dict(
            type='LinearLR',
            start_factor=1,
            end_factor=0.1,
            begin=1,
            end=EPOCHS,
            by_epoch=True,
            convert_to_iter_based=True,
        ),
    ],
    cosine=lambda: [
        dict(type='CosineAnnealingLR', T_max=EPOCHS, end=EPOCHS, by_epoch=True, convert_to_iter_based=True)
    ],
    by_epoch=lambda: [dict(type='CosineAnnealingLR', T_max=EPOCHS, end=EPOCHS, by_epoch=True)],
)


@pytest.mark.parametrize('name', SCHEDULES)
@pytest.mark.parametrize('before, after', [(4, 8), (8, 4), (4, 3), (3, 8)])
def test_rates_are_those_of_a_run_that_had_the_new_batch_size_from_the_start(folder, name, before, after, capsys):
    schedule = SCHEDULES[name]
    toy_run(folder, 'first', before, schedule())
    whole = [rate for rate, _ in noted(toy_run(folder, 'whole', after, schedule()))]
    capsys.readouterr()
    resumed = toy_run(folder, 'resumed', after, schedule(), load_from=str(folder / 'first/epoch_2.pth'), resume=True)
    rates = [rate for rate, _ in noted(resumed)]
    length = -(-SIZE // after)
    assert rates == pytest.approx(whole[2 * length :], rel=1e-12) and len(rates) == 2 * length
    assert resumed.iter == EPOCHS * length
    said = [line for line in capsys.readouterr().out.splitlines() if 'comes from a run of another form' in line]
    assert len(said) == 1 and f'{before} -> {after} samples in a batch' in said[0]


def test_nothing_is_said_where_nothing_differs(folder, capsys):
    first = toy_run(folder, 'first', 4, SCHEDULES['linear']())
    capsys.readouterr()
    resumed = toy_run(
        folder, 'resumed', 4, SCHEDULES['linear'](), load_from=str(folder / 'first/epoch_2.pth'), resume=True
    )
    assert 'another form' not in capsys.readouterr().out
    assert torch.equal(first.model.linear.weight, resumed.model.linear.weight)


@pytest.mark.parametrize('sampler', ['DefaultSampler', 'InfiniteSampler'])
@pytest.mark.parametrize('stop', [2, 6, 9])
def test_training_by_iterations_goes_on_where_it_stopped(folder, sampler, stop):
    def by_iteration(name, **options):
        config = toy_config(
            folder,
            name,
            ('vqa',),
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=11, val_interval=3),
            default_hooks=dict(checkpoint=dict(type='ToyCheckpointHook', interval=1, by_epoch=False)),
            **options,
        )
        config.train_dataloader = dict(
            batch_size=4,
            num_workers=0,
            dataset=config.train_dataloader.dataset,
            sampler=dict(type=sampler, shuffle=True),
        )
        runner = Runner.from_cfg(config)
        runner.train()
        return runner

    whole = by_iteration('whole')
    resumed = by_iteration('resumed', load_from=str(folder / f'whole/iter_{stop}.pth'), resume=True)
    assert whole.model.seen[stop:] == resumed.model.seen and len(resumed.model.seen) == 11 - stop
    assert torch.equal(whole.model.linear.weight, resumed.model.linear.weight)
    # 6 batches are a walk through the set: the second one has another order.
    assert whole.model.seen[:5] != whole.model.seen[6:]


def resume_on_rank(rank, world, port, folder) -> None:
    """As where the second machine does not see the work folder."""
    join_group(rank, world, port)
    origin = dict(load_from=str(folder / 'first/epoch_1.pth'), resume=True) if rank == 0 else {}
    wrapper = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)
    try:
        toy_run(
            folder, f'second{rank}', 2, SCHEDULES['linear'](), model_wrapper_cfg=wrapper, launcher='pytorch', **origin
        )
    except CheckpointError as error:
        (folder / f'{rank}.txt').write_text(str(error))
    end_process_group()


def test_processes_that_begin_at_different_places_are_refused(folder):
    toy_run(folder, 'first', 4, SCHEDULES['linear']())
    run_on_ranks(resume_on_rank, 2, free_port(), folder)
    for rank in range(2):
        assert 'all machines must see the same work folder' in (folder / f'{rank}.txt').read_text()


def test_a_position_of_other_processes_has_no_generators_for_this_one():
    position = Position(0, False, 5, 2, 4, 20, [dict(torch=1), dict(torch=2)])
    assert position.own_generators() == {}
