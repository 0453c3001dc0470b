"""The sigmoid loss: its formula, pair by pair; one process and two; what it asks of momentum, queue and checkpoints."""

import math

import pytest
import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from torch import nn

from tests.ports import free_port
from tests.processes import run_on_ranks
from tests.siglip import randomised, siglip_config, write_siglip_vocabulary
from tests.tiny import SIZE
from vlpeft.engine.launch import end_process_group
from vlpeft.models.heads import Features, SigmoidITCHead
from vlpeft.models.tokenizer import Tokens
from vlpeft.registry import MODELS


def slow_loss(vision, text, ids, scale, bias):
    """-1/B times the sum over all pairs of log sigmoid(z (t x·y + b)), number by number."""
    total = 0.0
    for i in range(len(ids)):
        for j in range(len(ids)):
            logit = math.exp(scale) * float(vision[i] @ text[j]) + bias
            sign = 1 if ids[i] == ids[j] else -1
            total += math.log1p(math.exp(-sign * logit))
    return total / len(ids)


@pytest.mark.parametrize('ids', [[0, 1, 2, 3], [0, 1, 0, 2]])
def test_the_formula(ids):
    head = SigmoidITCHead(logit_scale=1.5, logit_bias=-2.0).double()
    features = Features(*nn.functional.normalize(torch.randn(2, 4, 6).double(), dim=-1))
    found = head.loss(features, torch.tensor(ids))
    assert float(found) == pytest.approx(slow_loss(*features, ids, 1.5, -2.0), rel=1e-7)


def test_starts_as_siglips_training_and_trains_scale_and_bias():
    head = SigmoidITCHead()
    assert (float(head.logit_scale.exp()), float(head.logit_bias)) == pytest.approx((10, -10))
    assert [name for name, _ in head.named_parameters()] == ['logit_scale', 'logit_bias'] == list(head.roles)
    assert float(head.temperature) == pytest.approx(0.1)
    projecting = SigmoidITCHead(vision_width=6, text_width=5, embed_width=4)
    assert projecting.project_vision(torch.randn(2, 3, 6)).shape == (2, 3, 4)
    torch.testing.assert_close(projecting.project_text(torch.randn(3, 5)).norm(dim=-1), torch.ones(3))


def test_half_precision_does_not_overflow():
    head = SigmoidITCHead(logit_scale=8.0).half()
    features = Features(*nn.functional.normalize(torch.randn(2, 4, 6), dim=-1).half())
    assert head.loss(features, torch.arange(4)).isfinite()


def step(rank: int, world: int, port: int, vocabulary: str, out: str) -> None:
    """One training step on this rank's part of a global batch of 4, two of whose pairs are of one clip."""
    if world > 1:
        dist.init_process_group('gloo', f'tcp://127.0.0.1:{port}', rank=rank, world_size=world)
    torch.set_num_threads(1)
    model = MODELS.build(
        siglip_config(
            'siglip', vocabulary, adapter=dict(type='UniAdapter', bottleneck=8, modalities=('vision', 'text'))
        )
    ).double()
    randomised(model)
    generator = torch.Generator().manual_seed(3)
    clips = torch.randn(4, 2, 3, SIZE, SIZE, generator=generator, dtype=torch.float64)
    texts = ['a red square', 'the small circle moves left', 'a square', 'still']
    from mmengine.structures import BaseDataElement

    samples = [BaseDataElement(text=text, clip_id=clip) for text, clip in zip(texts, [0, 1, 0, 2])]
    part = slice(rank, 4, world)
    wrapped = MMDistributedDataParallel(model, broadcast_buffers=False) if world > 1 else model
    loss = wrapped(clips[part], samples[part], mode='loss')['loss_itc']
    loss.backward()
    loss = loss.detach()
    if world > 1:
        dist.all_reduce(loss)
        loss /= world
    if rank == world - 1:
        grads = {name: param.grad for name, param in model.named_parameters() if param.grad is not None}
        torch.save(dict(loss=loss, grads=grads), out)
    if world > 1:
        del wrapped
        end_process_group()


def test_loss_and_gradients_do_not_depend_on_the_number_of_processes(tmp_path):
    vocabulary = write_siglip_vocabulary(tmp_path / 'vocabulary')
    results = []
    for world in (1, 2):
        out = str(tmp_path / f'{world}.pt')
        run_on_ranks(step, world, free_port(), vocabulary, out, world=world)
        results.append(torch.load(out, weights_only=True))
    one, two = results
    torch.testing.assert_close(two['loss'], one['loss'], rtol=1e-8, atol=0)
    assert set(one['grads']) == set(two['grads']) and {'itc_head.logit_scale', 'itc_head.logit_bias'} < set(
        one['grads']
    )
    for key, grad in one['grads'].items():
        bound = 1e-8 * float(grad.abs().max()) + 1e-12
        torch.testing.assert_close(two['grads'][key], grad, rtol=1e-8, atol=bound, msg=key)


def test_a_model_with_it_keeps_no_momentum_and_no_queue(tmp_path):
    model = MODELS.build(siglip_config('siglip', write_siglip_vocabulary(tmp_path / 'v')))
    assert model.momentum is None and model.queue is None
    assert not [key for key in model.state_dict() if key.startswith(('momentum', 'queue'))]
    assert model.declared == {'itc_head.logit_scale', 'itc_head.logit_bias'}
    assert model.role_of('itc_head.logit_scale') == 'temperature'
    ids = torch.zeros(2, 12, dtype=torch.long)
    found = model(torch.zeros(2, 1, 3, SIZE, SIZE), Tokens(ids, torch.ones_like(ids)), mode='features')
    assert found.vision.shape == found.text.shape == (2, 16)
