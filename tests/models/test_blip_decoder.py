"""The causal decoder: cached and whole passes agree, the future is invisible."""

import torch
from torch import nn

from vlpeft.models.backbones import BlipTextDecoder, CrossContext, SelfCache


def build_decoder():
    torch.manual_seed(0)
    decoder = (
        BlipTextDecoder(
            vocab_size=20, width=16, depth=2, heads=2, hidden=32, context_width=12, max_positions=16, dropout=0.0
        )
        .double()
        .eval()
    )
    for param in decoder.parameters():
        nn.init.normal_(param, std=0.3)
    return decoder, CrossContext(decoder.bert.project_context(torch.randn(3, 5, 12).double()))


def test_cached_steps_equal_one_causal_pass():
    decoder, context = build_decoder()
    ids, mask = torch.randint(1, 20, (3, 6)), torch.ones(3, 6, dtype=torch.long)
    whole = decoder(ids, mask, context)
    cache, steps = SelfCache(), []
    for start, stop in ((0, 2), (2, 3), (3, 6)):
        steps.append(decoder(ids[:, start:stop], mask[:, :stop], context, cache))
    torch.testing.assert_close(torch.cat(steps, 1), whole, rtol=1e-10, atol=1e-12)
    assert cache.get_seq_length() == 6


def test_the_future_is_invisible_and_the_past_is_not():
    decoder, context = build_decoder()
    ids, mask = torch.randint(1, 20, (3, 6)), torch.ones(3, 6, dtype=torch.long)
    before = decoder(ids, mask, context)
    ids[:, 4] = (ids[:, 4] + 1) % 19 + 1
    after = decoder(ids, mask, context)
    assert torch.equal(before[:, :4], after[:, :4]) and not torch.allclose(before[:, 5], after[:, 5])


def test_reordered_cache_continues_the_chosen_rows():
    decoder, context = build_decoder()
    ids, mask = torch.randint(1, 20, (3, 4)), torch.ones(3, 4, dtype=torch.long)
    order = torch.tensor([2, 2, 0])
    cache = SelfCache()
    decoder(ids[:, :3], mask[:, :3], context, cache)
    cache.reorder(order)
    layers = [type(kv)(kv.key[order], kv.value[order]) for kv in context.layers]
    step = decoder(ids[order, 3:], mask, CrossContext(layers), cache)
    torch.testing.assert_close(step[:, 0], decoder(ids, mask, context)[order, 3], rtol=1e-10, atol=1e-12)
