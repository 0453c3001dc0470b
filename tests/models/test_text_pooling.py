"""What a text alone is pooled to: BLIP's first token, or the mean over the tokens that are no padding."""

import pytest
import torch

from vlpeft.models.backbones import BlipTextEncoder

IDS = torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])


def build(**options):
    torch.manual_seed(0)
    sizes = dict(vocab_size=16, width=8, depth=2, heads=2, hidden=16, context_width=8, max_positions=8, dropout=0.0)
    encoder = BlipTextEncoder(**sizes, **options)
    encoder.init_weights()
    return encoder.eval()


@torch.no_grad()
def test_the_mean_leaves_out_padding():
    encoder = build(pooling='mean')
    states = encoder(IDS, MASK)
    pooled = encoder.pool(states, MASK)
    for row, length in enumerate((4, 3)):
        slow = sum(states[row, place] for place in range(length)) / length
        torch.testing.assert_close(pooled[row], slow)
    alone = encoder.pool(encoder(IDS[1:, :3], MASK[1:, :3]), MASK[1:, :3])
    torch.testing.assert_close(pooled[1:], alone)


@torch.no_grad()
def test_the_first_token_unless_said_otherwise():
    encoder = build()
    states = encoder(IDS, MASK)
    assert torch.equal(encoder.pool(states, MASK), states[:, 0])


def test_other_poolings_are_refused():
    with pytest.raises(ValueError, match="pooling='max'; choose from first, mean"):
        build(pooling='max')
