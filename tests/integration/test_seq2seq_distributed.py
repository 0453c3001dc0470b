"""Four real tasks mixed on one process and on two (gloo): the gradient of every step is that of the joined batch."""

import json

import pytest
import torch
import torch.distributed as dist
from mmengine.dataset import DefaultSampler, default_collate
from mmengine.model import MMDistributedDataParallel

from tests.ports import free_port
from tests.processes import run_on_ranks
from tests.tiny import randomise
from tests.vl_workspace import shrink_vl_model, write_vl_workspace
from tests.workspace import ROOT
from vlpeft.engine.launch import end_process_group

RECIPE = 'vl_pet/vlpet-large_{}-base_image.py'
BATCH = 4
#: Half of it each task has for itself.
PER_TASK = dict(type='Bottleneck', bottleneck=4, tasks=['vqa', 'gqa', 'nlvr2', 'caption'], share='up', targets={})


def train(rank: int, world: int, port: int, family: str, workspace: str, out: str, per_task: bool) -> None:
    """Gradients of an epoch without updates, with the sampler and the set of the recipe, and its method or another."""
    import os
    from pathlib import Path

    from mmengine.registry import init_default_scope

    import vlpeft  # noqa: F401
    from vlpeft.datasets.samplers import TaskMixingBatchSampler
    from vlpeft.engine.run_config import RunConfig
    from vlpeft.registry import DATASETS, MODELS

    os.chdir(workspace)
    if world > 1:
        dist.init_process_group('gloo', f'tcp://127.0.0.1:{port}', rank=rank, world_size=world)
    torch.set_num_threads(1)
    init_default_scope('vlpeft')
    cfg = RunConfig.read(ROOT / 'configs' / RECIPE.format(family))
    shrink_vl_model(cfg.model, Path(workspace))
    if per_task:
        cfg.model.adapter = PER_TASK
    model = randomise(MODELS.build(cfg.model).double())
    model.eval()
    wrapped = model
    if world > 1:
        wrapped = MMDistributedDataParallel(model, broadcast_buffers=False, find_unused_parameters=per_task)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    sampler = TaskMixingBatchSampler(
        DefaultSampler(dataset, shuffle=True, seed=3), BATCH // world, order=cfg.train_dataloader.batch_sampler.order
    )
    steps = []
    for indices in sampler:
        batch = model.data_preprocessor(default_collate([dataset[index] for index in indices]))
        model.zero_grad()
        losses = wrapped(**batch, mode='loss')
        ((name, loss),) = losses.items()
        loss.backward()
        steps.append((name, {key: param.grad for key, param in model.named_parameters() if param.grad is not None}))
    if rank == 0:
        torch.save(steps, out)
    if world > 1:
        del wrapped, losses, loss
        end_process_group()


@pytest.fixture(scope='module')
def workspace(tmp_path_factory):
    root = write_vl_workspace(tmp_path_factory.mktemp('vl'))
    # Draws of answers differ between processes: leave nothing to draw, but the weight.
    path = root / 'data/vlpet/vqa/karpathy_train.json'
    questions = json.loads(path.read_text())
    for i, question in enumerate(questions):
        question['label'] = {list(question['label'])[0]: 0.3 + 0.1 * (i % 4)}
    path.write_text(json.dumps(questions))
    return root


@pytest.mark.parametrize('family, per_task', [('bart', False), ('t5', False), ('bart', True)])
def test_gradients_under_task_mixing_are_those_of_the_joined_batch(workspace, tmp_path, family, per_task):
    results = []
    for world in (1, 2):
        out = str(tmp_path / f'{world}.pt')
        run_on_ranks(train, world, free_port(), family, str(workspace), out, per_task, world=world)
        results.append(torch.load(out, weights_only=True))
    one, two = results
    assert [name for name, _ in one] == [name for name, _ in two]
    assert {name for name, _ in one} == {'loss_vqa', 'loss_gqa', 'loss_nlvr2', 'loss_caption'}
    for (task, single), (_, averaged) in zip(one, two):
        assert set(single) == set(averaged) and len(single) > 20
        if per_task:
            trained = {key.split('.')[4] for key in single if '.down.' in key}
            assert trained == {task.removeprefix('loss_')}
        for key, grad in single.items():
            # T5 computes its softmax and norms in single precision, even here.
            rtol = 1e-8 if family == 'bart' else 1e-5
            torch.testing.assert_close(
                averaged[key],
                grad,
                rtol=rtol,
                atol=rtol * float(grad.abs().max()) + 1e-10,
                msg=lambda text, key=key, task=task: f'{task}, {key}: {text}',
            )
