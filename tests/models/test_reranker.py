"""Re-ranking equals the naive loop over pairs; contexts are shared exactly."""

import pytest
import torch

from tests.tiny import VOCAB_SIZE, build_retriever, random_batch
from vlpeft.models.backbones import CrossContext, KeyValue, attend, attention
from vlpeft.models.tasks.length_batches import length_batches
from vlpeft.models.tasks.reranker import ClipBank, TextBank, score_pairs
from vlpeft.models.tokenizer import Tokens, pad


def naive_score(model, tokens, frames, ids, feature):
    """One pair, text padded to 35, keys and values projected anew."""
    padded = pad([ids], tokens.device, 35)
    weights = model.key_weights(feature[None], frames[None], tokens.shape[0] // len(frames))
    context = CrossContext(model.text.project_context(tokens[None]), key_weights=weights)
    return model.itm_head(model.match(padded, context))[0, 1]


@pytest.mark.parametrize('frame_aware', [False, True])
@pytest.mark.parametrize('clips_per_chunk, texts_per_batch', [(1, 1), (2, 3), (8, 64)])
def test_scores_equal_the_naive_loop(frame_aware, clips_per_chunk, texts_per_batch):
    model = build_retriever(adapter=dict(type='UniAdapter', bottleneck=4, kv_bottleneck=3), frame_aware=frame_aware)
    clips, _ = random_batch(batch=5, frames=3)
    vision = model.encode_vision(clips)
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randint(1, VOCAB_SIZE - 2, (3 + i % 6,), generator=generator) for i in range(9)]
    features = model.encode_text(pad(rows, clips.device))
    tokens = dict(enumerate(vision.tokens.flatten(1, 2)))
    pairs = {0: [3, 1, 8], 2: list(range(9)), 4: [5]}
    counted = []
    scores = score_pairs(
        model,
        ClipBank(tokens, vision.frames),
        TextBank(rows, features),
        pairs,
        clips_per_chunk,
        texts_per_batch,
        clips.device,
        counted.append,
    )
    assert sum(counted) == 13 and list(scores) == [0, 2, 4]
    with torch.no_grad():
        for clip, texts in pairs.items():
            expected = [naive_score(model, tokens[clip], vision.frames[clip], rows[t], features[t]) for t in texts]
            torch.testing.assert_close(scores[clip], torch.stack(expected).float(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('weighted', [False, True])
def test_grouped_contexts_equal_copied_ones(weighted, monkeypatch):
    torch.manual_seed(0)
    query = torch.randn(6, 2, 4, 8).double()
    kv = KeyValue(*torch.randn(2, 3, 2, 5, 8).double())
    mask = torch.zeros(3, 1, 1, 5).double()
    mask[1, ..., 3:] = -10000.0
    weights = torch.rand(6, 5).double() if weighted else None
    copied = KeyValue(kv.key.repeat_interleave(2, 0), kv.value.repeat_interleave(2, 0))
    expected = attend(query, copied, mask.repeat_interleave(2, 0), weights)
    torch.testing.assert_close(attend(query, kv, mask, weights), expected, rtol=1e-10, atol=1e-12)
    uneven = KeyValue(*torch.randn(2, 4, 2, 5, 8).double())
    mask = torch.cat([mask, mask[1:2]])
    counts = [3, 0, 1, 2]
    copied_again = KeyValue(*(part.repeat_interleave(torch.tensor(counts), 0) for part in uneven))
    own = attend(query, copied_again, mask.repeat_interleave(torch.tensor(counts), 0), weights)
    monkeypatch.setattr(attention, 'CPU_WEIGHTS', 2 * 2 * 4 * 5)
    for _ in range(2):  # in blocks of two texts, and of all
        found = attend(query, uneven, mask, weights, counts=counts)
        torch.testing.assert_close(found, own, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(attend(query, kv, mask[:3], weights), expected, rtol=1e-10, atol=1e-12)
        monkeypatch.undo()
    by_hand = (
        torch.softmax(
            query[2] @ (copied.key[2] * (1 if weights is None else weights[2][:, None])).transpose(-1, -2) / 8**0.5
            + mask[1],
            -1,
        )
        @ copied.value[2]
    )
    torch.testing.assert_close(expected[2], by_hand, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize('device', ['cpu', 'cuda'])
@pytest.mark.parametrize('most', [1, 5, 100])
def test_batches_hold_each_text_once_and_little_padding(device, most):
    lengths = torch.randint(3, 36, (200,), generator=torch.Generator().manual_seed(0))
    batches = length_batches(lengths, most, torch.device(device))
    assert torch.cat(batches).sort().values.tolist() == list(range(200))
    assert max(map(len, batches)) <= most
    padding = sum(int((lengths[batch].max() - lengths[batch]).sum()) for batch in batches)
    assert padding < 0.05 * lengths.sum() if device == 'cpu' else len(batches) <= -(-200 // most) + 4
    assert all((batch.diff() > 0).all() for batch in batches)


def test_context_mask_and_index():
    model = build_retriever()
    states = torch.randn(2, 7, 16).double()
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[1, 4:] = 0
    tokens = Tokens(torch.arange(4).repeat(3, 1) + 3, torch.ones(3, 4, dtype=torch.long))
    index = torch.tensor([1, 0, 1])
    out = model.match(tokens, CrossContext(model.text.project_context(states), index=index, mask=mask))
    for row, source in enumerate(index.tolist()):
        seen = states[source : source + 1, : int(mask[source].sum())]
        alone = model.match(Tokens(tokens.ids[:1], tokens.mask[:1]), CrossContext(model.text.project_context(seen)))
        torch.testing.assert_close(out[row], alone[0], rtol=1e-10, atol=1e-12)


def test_text_padding_changes_nothing():
    model = build_retriever()
    ids = torch.tensor([2, 6, 7, 8, 3])
    exact = model.encode_text(pad([ids], torch.device('cpu')))
    torch.testing.assert_close(model.encode_text(pad([ids], torch.device('cpu'), 20)), exact, rtol=1e-12, atol=1e-12)
