"""Sharded, methods whose parts share tensors or belong to one task each have the gradients of one process."""

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from tests.ports import free_port
from tests.processes import run_on_ranks
from tests.tiny_vl import build_vl, random_samples, write_tokenizer
from vlpeft.engine.strategies.sharding import gathered, shard

TASKS = ['vqa', 'caption', 'nlvr2']
METHODS = dict(
    hyperformer=dict(
        type='Hyperformer', tasks=TASKS, bottleneck=4, embedding=6, hidden=8, projection=4, targets=dict()
    ),
    shared_rule=dict(type='Compacter', bottleneck=4, share_rule=True, rank=2, targets=dict()),
    half_shared=dict(type='Bottleneck', bottleneck=4, tasks=TASKS, share='down', targets=dict()),
)


def train(rank: int, world: int, port: int, vocabulary: str, method: str, out: str) -> None:
    """Gradients of a batch of each of two tasks, in one process or sharded over two."""
    torch.set_num_threads(1)
    model = build_vl('bart', vocabulary, adapter=METHODS[method])
    part = slice(0, 4)
    if world > 1:
        dist.init_process_group('gloo', f'tcp://127.0.0.1:{port}', rank=rank, world_size=world)
        shard(model, init_device_mesh('cpu', (world,)))
        model.train()
        part = slice(2 * rank, 2 * rank + 2)
    found = []
    for task in ('vqa', 'nlvr2'):
        model.zero_grad()
        features, samples = random_samples(task, batch=4)
        model(features[part], samples[part], mode='loss')[f'loss_{task}'].backward()
        grads = {key: param.grad for key, param in model.named_parameters() if param.requires_grad}
        found.append({key: None if grad is None else gathered(grad) for key, grad in grads.items()})
    if rank == 0:
        torch.save(found, out)
    if world > 1:
        dist.barrier()
        dist.destroy_process_group()


@pytest.mark.parametrize('method', METHODS)
def test_gradients_are_those_of_one_process(tmp_path, method):
    vocabulary = write_tokenizer(tmp_path / 'bart', 'bart')
    results = []
    for world in (1, 2):
        out = str(tmp_path / f'{world}.pt')
        run_on_ranks(train, world, free_port(), vocabulary, method, out, world=world)
        results.append(torch.load(out, weights_only=True))
    for one, two in zip(*results):
        assert one.keys() == two.keys() and any(grad is not None for grad in one.values())
        for key, grad in one.items():
            if grad is None:
                assert two[key] is None or not two[key].any(), key
            else:
                torch.testing.assert_close(two[key], grad, rtol=1e-8, atol=1e-11, msg=lambda text, key=key: key + text)
