"""One process and two (gloo): equal losses, gradients, queue and metrics, also when the set does not divide."""

import json
import os
import subprocess
import sys

import pytest
import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel

from tests.commands import run_script
from tests.ports import free_port
from tests.processes import run_on_ranks
from tests.tiny import build_retriever, random_batch, write_vocabulary
from tests.workspace import ROOT, write_workspace
from vlpeft.engine.launch import end_process_group
from vlpeft.models.tasks import retriever

METHODS = dict(
    uniadapter=dict(adapter=dict(type='UniAdapter', bottleneck=4, kv_bottleneck=3), frame_aware=True),
    checkpointed=dict(adapter=dict(type='LoRA', rank=2, targets=dict()), gradient_checkpointing=('vision', 'text')),
    full=dict(trainable='all'),
)


def hardest(logits, ids, candidate_ids):
    """Negatives without the noise of the draw, which differs between processes."""
    allowed = ids[:, None] != candidate_ids[None]
    return logits.masked_fill(~allowed, float('-inf')).argmax(1), allowed.any(1)


def step(rank: int, world: int, port: int, vocabulary: str, options: dict, out: str) -> None:
    """One training step on this rank's part of a global batch of 4."""
    if world > 1:
        dist.init_process_group('gloo', f'tcp://127.0.0.1:{port}', rank=rank, world_size=world)
    torch.set_num_threads(1)
    model = build_retriever(vocabulary=vocabulary, **options)
    retriever.sample_negatives = hardest
    clips, samples = random_batch(batch=4)
    part = slice(rank, 4, world)
    wrapped = MMDistributedDataParallel(model, broadcast_buffers=False) if world > 1 else model
    losses = wrapped(clips[part], samples[part], mode='loss')
    sum(losses.values()).backward()
    losses = {name: loss.detach() for name, loss in losses.items()}
    if world > 1:
        for loss in losses.values():
            dist.all_reduce(loss)
            loss /= world
    if rank == world - 1:
        torch.save(
            dict(
                losses=losses,
                queue=model.queue.state_dict(),
                grads={name: param.grad for name, param in model.named_parameters() if param.grad is not None},
            ),
            out,
        )
    if world > 1:
        del wrapped, losses
        end_process_group()


@pytest.mark.parametrize('name', METHODS)
def test_losses_gradients_and_queue_do_not_depend_on_the_number_of_processes(tmp_path, name):
    vocabulary = write_vocabulary(tmp_path / 'vocabulary')
    results = []
    for world in (1, 2):
        out = str(tmp_path / f'{world}.pt')
        run_on_ranks(step, world, free_port(), vocabulary, METHODS[name], out, world=world)
        results.append(torch.load(out, weights_only=True))
    one, two = results
    torch.testing.assert_close(two['losses'], one['losses'], rtol=1e-8, atol=1e-10)
    assert set(one['grads']) == set(two['grads']) and len(one['grads']) > 10
    for key, grad in one['grads'].items():
        torch.testing.assert_close(
            two['grads'][key],
            grad,
            rtol=1e-8,
            atol=1e-8 * float(grad.abs().max()) + 1e-12,
            msg=lambda text, key=key: f'{key}: {text}',
        )
    order = [one['queue']['ids'].tolist().index(i) for i in range(4)]
    pushed = [two['queue']['ids'].tolist().index(i) for i in range(4)]
    torch.testing.assert_close(two['queue']['vision'][pushed], one['queue']['vision'][order], rtol=1e-8, atol=0)


def launch(script: str, *args: str, **env: str) -> subprocess.CompletedProcess:
    done = subprocess.run(
        ['bash', f'tools/{script}', *args],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=dict(os.environ, OMP_NUM_THREADS='1', PORT=str(free_port()), PYTHON=sys.executable, **env),
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def test_dist_scripts_train_and_test_on_two_processes(tmp_path):
    config = str(write_workspace(tmp_path / 'workspace', sampling='middle'))
    launch(
        'dist_train.sh',
        config,
        '2',
        '--work-dir',
        str(tmp_path / 'two'),
        '--cfg-options',
        'train_cfg.max_epochs=1',
        'train_dataloader.batch_size=2',
        'train_cfg.val_interval=2',
    )
    checkpoint = str(tmp_path / 'two/epoch_1.pth')
    one, two = tmp_path / '1.json', tmp_path / '2.json'
    more = ('--work-dir', str(tmp_path / 'test'), '--cfg-options', 'test_cfg.folds=2')
    done = run_script('tools/test.py', config, checkpoint, '--out', one, *more)
    assert done.returncode == 0, done.stderr
    launch('dist_test.sh', config, checkpoint, '2', '--out', str(two), *more)
    metrics = [json.loads(out.read_text()) for out in (one, two)]
    # 7 clips and 10 captions on 2 processes: nothing divides.
    assert metrics[0]['metrics'] == metrics[1]['metrics']
    assert 'retrieval/2fold_t2v_R@1' in metrics[1]['metrics']
    assert len(metrics[1]['predictions']['retrieval']) == 17
    ranks = [[(row['rank'], row['fold_rank']) for row in out['predictions']['retrieval']] for out in metrics]
    assert ranks[0] == ranks[1]
