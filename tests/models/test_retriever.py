"""The retriever against the slow restatement: features, matching, losses, momentum, queue."""

import pytest
import torch

from tests.slow_blip import SlowBlip, cross_entropy
from tests.tiny import build_retriever, random_batch, write_vocabulary
from vlpeft.models.backbones import CrossContext
from vlpeft.models.heads import Features, sample_negatives
from vlpeft.models.tokenizer import pad

CASES = [
    dict(adapter=None),
    dict(adapter=dict(type='UniAdapter', bottleneck=4)),
    dict(adapter=dict(type='UniAdapter', bottleneck=4, kv_bottleneck=3), frame_aware=True),
    dict(adapter=dict(type='UniAdapter', bottleneck=4, kv_bottleneck=3), frame_aware=True, temporal_frames=2),
]


@pytest.fixture
def vocabulary(tmp_path):
    return write_vocabulary(tmp_path / 'vocabulary')


@pytest.mark.parametrize('dtype, rtol', [(torch.float64, 1e-8), (torch.float32, 1e-4)])
@pytest.mark.parametrize('case', CASES)
def test_features_and_matching_equal_the_slow_restatement(vocabulary, case, dtype, rtol):
    model = build_retriever(dtype, vocabulary=vocabulary, **case)
    slow = SlowBlip(model)
    clips, samples = random_batch(dtype=dtype)
    rows = [torch.tensor(ids) for ids in model.tokenizer.ids([sample.text for sample in samples])]
    tokens = pad(rows, clips.device)
    vision = model.encode_vision(clips)
    text = model.encode_text(tokens)
    context = CrossContext(
        model.text.project_context(vision.tokens.flatten(1, 2)),
        key_weights=model.key_weights(text, vision.frames, vision.tokens.shape[2]),
    )
    logits = model.itm_head(model.match(tokens, context))
    for i, ids in enumerate(rows):
        _, feature, _ = slow.clip(clips[i])
        torch.testing.assert_close(vision.feature[i], feature, rtol=rtol, atol=rtol)
        torch.testing.assert_close(text[i], slow.text_feature(ids), rtol=rtol, atol=rtol)
        expected = slow.match(clips[i], ids, model.tokenizer.encode_id, model.frame_aware)
        torch.testing.assert_close(logits[i], expected, rtol=rtol, atol=rtol)


def slow_itc(online, momentum, ids, queue, alpha, temperature):
    """Both directions of the contrastive loss, entry by entry."""
    total = 0
    for mine, mine_m, others_m in (
        (online.vision, momentum.vision, [*momentum.text, *queue.text]),
        (online.text, momentum.text, [*momentum.vision, *queue.vision]),
    ):
        all_ids = [*ids.tolist(), *queue.ids.tolist()]
        for i, query in enumerate(mine):
            logits = torch.stack([query @ other / temperature for other in others_m])
            soft = torch.softmax(torch.stack([mine_m[i] @ other / temperature for other in others_m]), 0)
            same = torch.tensor([float(other == ids[i]) for other in all_ids], dtype=logits.dtype)
            target = alpha * soft + (1 - alpha) * same / same.sum()
            total = total - (target * torch.log_softmax(logits, 0)).sum() / len(mine) / 2
    return total


def test_losses_momentum_and_queue_equal_the_slow_restatement(vocabulary, monkeypatch):
    model = build_retriever(vocabulary=vocabulary, **CASES[3])
    clips, samples = random_batch(batch=4)
    samples[3].clip_id = 0
    ids = torch.tensor([sample.clip_id for sample in samples])
    rows = [torch.tensor(row) for row in model.tokenizer.ids([sample.text for sample in samples])]
    with torch.no_grad():
        for param in model.parameters():
            if param.requires_grad:
                param.add_(0.05 * torch.randn_like(param))
        model.queue.ids[:3] = torch.tensor([7, 1, 8])
    before = {name: value.clone() for name, value in model.momentum.named_buffers()}
    queue = {name: value.clone() for name, value in model.queue.named_buffers()}
    drawn = []

    def remember(logits, own, candidates):
        drawn.append((logits, *sample_negatives(logits, own, candidates)))
        return drawn[-1][1:]

    monkeypatch.setattr('vlpeft.models.tasks.retriever.sample_negatives', remember)
    model.train()
    losses = model(clips, samples, mode='loss')

    slow = SlowBlip(model)
    online = Features(
        torch.stack([slow.clip(clip)[1] for clip in clips]), torch.stack([slow.text_feature(row) for row in rows])
    )
    params = dict(model.named_parameters())
    averaged = {name: 0.995 * value + 0.005 * params[name].detach() for name, value in before.items()}
    for name, value in model.momentum.named_buffers():
        torch.testing.assert_close(value, averaged[name], rtol=1e-10, atol=0)
    slow_m = SlowBlip(model)
    slow_m.state = slow_m.adapter.state = {**slow_m.state, **averaged}
    momentum = Features(
        torch.stack([slow_m.clip(clip)[1] for clip in clips]), torch.stack([slow_m.text_feature(row) for row in rows])
    )
    old = type('Queue', (), queue)
    old.vision, old.text = queue['vision'].double(), queue['text'].double()
    expected = slow_itc(online, momentum, ids, old, 0.4, 0.3)
    torch.testing.assert_close(losses['loss_itc'], expected, rtol=1e-8, atol=0)

    torch.testing.assert_close(model.queue.vision[:4], momentum.vision, rtol=1e-8, atol=0)
    assert model.queue.ids.tolist() == [0, 1, 2, 0] + [-100] * 8 and model.queue.pointer == 4

    (clip_logits, clip, _), (text_logits, text, _) = drawn
    torch.testing.assert_close(clip_logits, online.text @ online.vision.T / 0.3, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(text_logits, online.vision @ online.text.T / 0.3, rtol=1e-8, atol=1e-10)
    assert all(ids[i] != ids[clip[i]] and ids[i] != ids[text[i]] for i in range(4))
    pairs = [(i, i, 1) for i in range(4)]
    pairs += [(int(clip[i]), i, 0) for i in range(4)] + [(i, int(text[i]), 0) for i in range(4)]
    itm = sum(
        cross_entropy(slow.match(clips[c], rows[t], model.tokenizer.encode_id, True), label) for c, t, label in pairs
    ) / len(pairs)
    torch.testing.assert_close(losses['loss_itm'], itm, rtol=1e-8, atol=0)

    trained = {name: param for name, param in params.items() if param.requires_grad}
    ours = torch.autograd.grad(sum(losses.values()), trained.values(), allow_unused=True)
    theirs = torch.autograd.grad(expected + itm, trained.values(), allow_unused=True)
    for name, mine, slow_grad in zip(trained, ours, theirs):
        torch.testing.assert_close(mine, slow_grad, rtol=1e-8, atol=1e-12, msg=lambda m, n=name: f'{n}: {m}')


def test_alpha_ramp_and_hard_targets(vocabulary):
    model = build_retriever(vocabulary=vocabulary)
    model.itc_head.ramp = 0.0
    features = Features(*torch.nn.functional.normalize(torch.randn(2, 3, 8).double(), dim=-1))
    loss = model.itc_head.loss(features, features, torch.arange(3), None)
    logits = features.vision @ features.text.T / 0.3
    plain = (
        torch.nn.functional.cross_entropy(logits, torch.arange(3))
        + torch.nn.functional.cross_entropy(logits.T, torch.arange(3))
    ) / 2
    torch.testing.assert_close(loss, plain, rtol=1e-8, atol=0)


def test_negatives_follow_the_softmax_and_never_share_the_id():
    torch.manual_seed(0)
    logits = torch.tensor([[5.0, 1.0, 0.0, 2.0]]).repeat(20000, 1)
    index, valid = sample_negatives(logits, torch.zeros(20000, dtype=torch.long), torch.tensor([0, 1, 2, 3]))
    share = index.bincount(minlength=4) / 20000
    expected = torch.tensor([0.0, *torch.tensor([1.0, 0.0, 2.0]).softmax(0)])
    assert valid.all() and (share - expected).abs().max() < 0.015
    _, valid = sample_negatives(torch.zeros(2, 2), torch.zeros(2), torch.zeros(2))
    assert not valid.any()


def test_a_batch_of_one_clip_has_no_negatives_and_a_finite_loss(vocabulary):
    model = build_retriever(vocabulary=vocabulary)
    clips, samples = random_batch(batch=2)
    for sample in samples:
        sample.clip_id = 5
    losses = model(clips, samples, mode='loss')
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_queue_wraps_at_any_size():
    from vlpeft.models.heads import FeatureQueue

    queue, kept = FeatureQueue(5, 2), []
    for step in range(4):
        values = torch.full((3, 2), float(step))
        queue.push(Features(values, values), torch.arange(3) + 10 * step)
        kept = (kept + [10 * step + i for i in range(3)])[-5:]
        assert sorted(queue.ids[queue.ids >= 0].tolist()) == sorted(kept)
    queue.push(Features(torch.ones(9, 2), torch.ones(9, 2)), torch.arange(9))
    assert sorted(queue.ids.tolist()) == [4, 5, 6, 7, 8]


def test_pairs_that_are_not_finite_leave_the_queue_as_it_was():
    from vlpeft.models.heads import FeatureQueue

    queue = FeatureQueue(5, 2)
    queue.push(Features(torch.zeros(5, 2), torch.zeros(5, 2)), torch.arange(5))
    vision, text = torch.ones(4, 2), torch.ones(4, 2)
    vision[1, 0], text[2, 1] = float('nan'), float('inf')
    queue.push(Features(vision, text), torch.arange(10, 14))
    assert queue.ids.tolist() == [10, 1, 2, 13, 4]
    assert queue.vision[:, 0].tolist() == queue.text[:, 0].tolist() == [1, 0, 0, 1, 0]


def test_temporal_embedding_takes_any_number_of_frames(vocabulary):
    model = build_retriever(vocabulary=vocabulary, temporal_frames=4)
    for frames in (1, 3, 4, 7):
        assert model.encode_vision(random_batch(frames=frames)[0]).tokens.shape[1] == frames
