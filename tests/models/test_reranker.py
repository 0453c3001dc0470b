"""Re-ranking equals the naive loop over pairs; contexts are shared exactly."""

import pytest
import torch

from tests.tiny import VOCAB_SIZE, build_retriever, random_batch
from vlpeft.models.backbones import CrossContext, KeyValue, attend
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
def test_grouped_contexts_equal_copied_ones(weighted):
    torch.manual_seed(0)
    query = torch.randn(6, 2, 4, 8).double()
    kv = KeyValue(*torch.randn(2, 3, 2, 5, 8).double())
    mask = torch.zeros(3, 1, 1, 5).double()
    mask[1, ..., 3:] = -10000.0
    weights = torch.rand(6, 5).double() if weighted else None
    copied = KeyValue(kv.key.repeat_interleave(2, 0), kv.value.repeat_interleave(2, 0))
    expected = attend(query, copied, mask.repeat_interleave(2, 0), weights)
    torch.testing.assert_close(attend(query, kv, mask, weights), expected, rtol=1e-10, atol=1e-12)
    by_hand = (
        torch.softmax(
            query[2] @ (copied.key[2] * (1 if weights is None else weights[2][:, None])).transpose(-1, -2) / 8**0.5
            + mask[1],
            -1,
        )
        @ copied.value[2]
    )
    torch.testing.assert_close(expected[2], by_hand, rtol=1e-10, atol=1e-12)


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
