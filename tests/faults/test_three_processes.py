"""One, two and three gloo processes: the same updates, weights and metrics, also of sets that do not divide."""

import pytest
import torch
from mmengine.runner import Runner

from tests.ports import free_port
from tests.processes import run_on_ranks
from tests.toy_tasks import join_group, noted, toy_config, write_sets
from vlpeft.engine.launch import end_process_group

TRAINED, TESTED, BATCH = 24, 7, 6


def run(folder, world) -> dict:
    config = toy_config(
        folder,
        f'on{world}',
        ('vqa', 'gqa'),
        batch_size=BATCH // world,
        accumulate=2,
        clip=dict(max_norm=0.5),
        hooks=[dict(type='EpochSeedHook')],
    )
    for loader in config.val_dataloader.values():
        loader.dataset.indices = TESTED
        loader.sampler.round_up = False
    if world > 1:
        config.merge_from_dict(
            dict(
                launcher='pytorch',
                model_wrapper_cfg=dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False),
            )
        )
    runner = Runner.from_cfg(config)
    runner.train()
    model = getattr(runner.model, 'module', runner.model)
    return dict(updates=noted(runner), metrics=runner.val_loop.run(), weights=model.cpu().state_dict())


def run_on_rank(rank, world, port, folder) -> None:
    join_group(rank, world, port)
    torch.save(run(folder, world), folder / f'{world}_{rank}.pt')
    end_process_group()


@pytest.mark.parametrize('world', [2, pytest.param(3, marks=pytest.mark.slow)])
def test_they_are_one_process(tmp_path, world):
    write_sets(tmp_path, vqa=TRAINED, gqa=TRAINED)
    run_on_ranks(run_on_rank, world, free_port(), tmp_path, world=world)
    one = run(tmp_path, 1)
    for rank in range(world):
        found = torch.load(tmp_path / f'{world}_{rank}.pt', weights_only=True)
        assert len(found['updates']) == len(one['updates']) == 8
        for (rate, gradient), (expected_rate, expected) in zip(found['updates'], one['updates']):
            assert rate == expected_rate
            torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(found['weights'], one['weights'], rtol=1e-10, atol=1e-12)
        assert found['metrics'] == pytest.approx(one['metrics'], rel=1e-9)
        assert found['metrics']['vqa/toy/count'] == TESTED
