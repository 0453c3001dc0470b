"""The whole model equals a slow restatement of its equations: logits, losses and gradients."""

import pytest
import torch

from tests.slow_epalm import Method, SlowOPT, text_loss
from tests.tiny_epalm import LAYERS, build_perceptual, random_texts, random_vectors
from vlpeft.models.tasks.perceptual_lm import Targets

# lm, levels, start, end, prompt rows, MLP, shared, visual row, left padding
CASES = [
    ('opt', 1, 1, LAYERS - 1, 2, True, False, 'full', False),
    ('opt', 3, 1, LAYERS - 1, 0, True, False, 'full', False),
    ('opt', 6, 1, LAYERS - 1, 2, False, True, 'full', True),
    ('opt', 6, 0, LAYERS, 0, True, False, 'causal', True),
    ('opt', 3, 2, 5, 2, True, True, 'full', False),
    ('opt', 1, 3, 6, 0, True, False, 'causal', False),
    ('opt', 3, 1, LAYERS - 1, 0, True, False, 'full', True),
    ('opt_post', 1, 1, LAYERS - 1, 0, True, False, 'full', False),
    ('opt_post', 3, 1, LAYERS - 1, 2, True, False, 'full', True),
    ('opt_post', 6, 1, LAYERS - 1, 2, False, False, 'causal', False),
    ('opt_post', 3, 1, LAYERS, 1, True, True, 'full', False),
    ('opt_post', 6, 1, LAYERS - 1, 0, True, True, 'causal', True),
]


def build(case, dtype):
    lm, levels, start, end, rows, mlp, shared, visual_row, left = case
    model = build_perceptual(
        dtype,
        lm=lm,
        visual_row=visual_row,
        adapter=dict(levels=levels, start=start, end=end, prompt_length=rows, prompt_mlp=mlp, shared_connector=shared),
    )
    method = Method(dict(model.adapter.named_parameters()), levels, start, end, visual_row == 'full')
    slow = SlowOPT(dict(model.lm.named_parameters()), model.lm.config, method)
    return model, slow, random_texts(left=left), random_vectors(model)


@pytest.mark.parametrize('dtype, close', [(torch.float64, 1e-10), (torch.float32, 1e-4)])
@pytest.mark.parametrize('case', CASES, ids=lambda case: '-'.join(map(str, case)))
def test_equals_the_slow_restatement(case, dtype, close):
    model, slow, tokens, vectors = build(case, dtype)
    real = tokens.mask.bool()
    expected = torch.stack([slow.logits(*row) for row in zip(tokens.ids, real, vectors)])
    logits = model.logits(vectors, tokens)
    assert logits[real].std() > 0.3
    # What padding predicts is of no account and is checked with the rest: it shapes what a full slot sees.
    torch.testing.assert_close(logits, expected, rtol=close, atol=close)
    wanted = torch.stack([text_loss(*row) for row in zip(expected, tokens.ids, real)])
    losses = model.text_losses(vectors, Targets(tokens, real)) if not case[-1] else None
    if losses is not None:
        torch.testing.assert_close(losses, wanted, rtol=close, atol=close)
    params = dict(model.adapter.named_parameters())
    total = wanted.sum()
    found = torch.autograd.grad(
        torch.stack([text_loss(*row) for row in zip(logits, tokens.ids, real)]).sum()
        if losses is None
        else losses.sum(),
        list(params.values()),
    )
    for name, grad, right in zip(params, found, torch.autograd.grad(total, list(params.values()))):
        assert grad.abs().max() > 1e-3, name
        scale = max(1.0, float(right.abs().max()))
        torch.testing.assert_close(
            grad / scale, right / scale, rtol=close, atol=close, msg=lambda text: f'{name}: {text}'
        )
