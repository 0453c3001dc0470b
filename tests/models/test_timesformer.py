"""TimeSformer: size, one block against loops, the whole against transformers' own, images, order of frames."""

import pytest
import torch
from torch.nn import functional as F
from transformers import TimesformerConfig, TimesformerModel

from tests.tiny import randomise
from vlpeft.models.backbones import TimeSformer
from vlpeft.models.backbones.timesformer import DividedBlock

WIDTH, HEADS, DEPTH, SIZE, PATCH, FRAMES = 16, 2, 3, 16, 8, 4
PLACES = (SIZE // PATCH) ** 2
TINY = dict(num_frames=FRAMES, img_size=SIZE, patch_size=PATCH, width=WIDTH, depth=DEPTH, heads=HEADS)


def build(**options):
    return randomise(TimeSformer(**TINY, **options)).double().eval()


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def slow_attention(module, tokens):
    """Multi-head attention of tokens (L, D), one query at a time."""
    q, k, v = (tokens @ module.qkv.weight.T + module.qkv.bias).chunk(3, dim=1)
    head = WIDTH // HEADS
    rows = []
    for query in range(len(tokens)):
        parts = []
        for start in range(0, WIDTH, head):
            part = slice(start, start + head)
            weights = torch.stack([q[query, part] @ key[part] / head**0.5 for key in k]).softmax(0)
            parts.append(sum(weight * value[part] for weight, value in zip(weights, v)))
        rows.append(torch.cat(parts))
    return torch.stack(rows) @ module.proj.weight.T + module.proj.bias


def slow_block(block, cls, patches):
    """Divided space-time attention of cls (D) and patches (N, T, D)."""
    places, frames, _ = patches.shape
    times = [slow_attention(block.temporal_attn, block.temporal_ln(place)) for place in patches]
    patches = patches + torch.stack([block.temporal_fc(time) for time in times])
    added, cls_added = torch.empty_like(patches), 0
    for t in range(frames):
        tokens = torch.stack([cls, *(patches[n, t] for n in range(places))])
        out = slow_attention(block.attn, block.ln1(tokens))
        cls_added = cls_added + out[0] / frames
        for n in range(places):
            added[n, t] = out[1 + n]
    cls, patches = cls + cls_added, patches + added

    def mlp(x):
        fc1, fc2 = block.ffn.layers[0][0], block.ffn.layers[1]
        return x + F.gelu(block.ln2(x) @ fc1.weight.T + fc1.bias) @ fc2.weight.T + fc2.bias

    return mlp(cls), mlp(patches)


def test_the_base_model_has_exactly_the_published_size():
    with torch.device('meta'):
        # The published figure is with a head of 400 classes.
        assert sum(p.numel() for p in TimeSformer().parameters()) + 400 * (768 + 1) == 121_566_352
        assert TimeSformer()(torch.empty(2, 8, 3, 224, 224)).shape == (2, 1 + 196 * 8, 768)


def test_a_block_is_its_loops():
    block = randomise(DividedBlock(WIDTH, HEADS, 0.0)).double()
    cls, patches = draw(2, WIDTH), draw(2, 3, FRAMES, WIDTH)
    x = torch.cat([cls[:, None], patches.flatten(1, 2)], dim=1)
    found = block(x, FRAMES)
    for sample in range(2):
        slow_cls, slow_patches = slow_block(block, cls[sample], patches[sample])
        torch.testing.assert_close(found[sample, 0], slow_cls, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(found[sample, 1:].view(3, FRAMES, WIDTH), slow_patches, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('frames', [FRAMES, 2 * FRAMES, 3])
def test_the_whole_model_is_that_of_transformers(frames):
    names = {
        'embeddings.position_embeddings': 'pos_embed',
        'embeddings.time_embeddings': 'time_embed',
        'embeddings.patch_embeddings.projection': 'patch_embed.projection',
        'embeddings.cls_token': 'cls_token',
        'temporal_attention.attention.qkv': 'temporal_attn.qkv',
        'temporal_attention.output.dense': 'temporal_attn.proj',
        'temporal_layernorm': 'temporal_ln',
        'temporal_dense': 'temporal_fc',
        'attention.attention.qkv': 'attn.qkv',
        'attention.output.dense': 'attn.proj',
        'intermediate.dense': 'ffn.layers.0.0',
        'output.dense': 'ffn.layers.1',
        'layernorm_before': 'ln1',
        'layernorm_after': 'ln2',
        'encoder.layer': 'layers',
        'layernorm': 'ln1',
    }
    model = build()
    theirs = (
        TimesformerModel(
            TimesformerConfig(
                image_size=SIZE,
                patch_size=PATCH,
                num_frames=FRAMES,
                hidden_size=WIDTH,
                num_hidden_layers=DEPTH,
                num_attention_heads=HEADS,
                intermediate_size=4 * WIDTH,
            )
        )
        .double()
        .eval()
    )
    own = model.state_dict()
    state = {}
    for key in theirs.state_dict():
        name = key
        for foreign, ours in names.items():
            name = name.replace(foreign, ours)
        state[key] = own.pop(name)
    assert not own
    theirs.load_state_dict(state)
    # Its blocks take the length from here.
    theirs.config.num_frames = frames
    clips = draw(2, frames, 3, SIZE, SIZE)
    torch.testing.assert_close(model(clips), theirs(clips).last_hidden_state, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('timed', [False, True])
def test_without_time_embedding_the_class_token_ignores_the_order_of_frames(timed):
    model = build()
    if not timed:
        torch.nn.init.zeros_(model.time_embed)
    clips, order = draw(2, FRAMES, 3, SIZE, SIZE), [2, 0, 3, 1]
    plain, permuted = model(clips), model(clips[:, order])
    same = torch.allclose(permuted[:, 0], plain[:, 0], rtol=1e-10, atol=1e-10)
    assert same is not timed
    patches = plain[:, 1:].unflatten(1, (PLACES, FRAMES))[:, :, order]
    assert torch.allclose(permuted[:, 1:], patches.flatten(1, 2), rtol=1e-10, atol=1e-10) is not timed


def test_a_longer_clip_takes_the_nearest_times():
    model, clips = build(), draw(1, 2 * FRAMES, 3, SIZE, SIZE)
    expected = TimeSformer(**{**TINY, 'num_frames': 2 * FRAMES}).double().eval()
    times = model.time_embed.detach().repeat_interleave(2, dim=1)
    expected.load_state_dict({**model.state_dict(), 'time_embed': times})
    assert torch.equal(model(clips), expected(clips))


def test_an_image_is_a_clip_of_itself():
    images = draw(2, 3, SIZE, SIZE)
    model = build()
    still = images[:, None].expand(-1, FRAMES, -1, -1, -1)
    torch.testing.assert_close(model(images), model(still), rtol=1e-12, atol=1e-12)


def test_blocks_after_the_first_begin_without_time_and_paths_are_dropped_in_training_alone():
    model = TimeSformer(**TINY)
    assert model.layers[0].temporal_fc.weight.abs().min() > 0
    for block in model.layers[1:]:
        assert not block.temporal_fc.weight.any() and not block.temporal_fc.bias.any()
    clips = draw(2, FRAMES, 3, SIZE, SIZE).float()
    model.eval()
    calm = model(clips)
    assert torch.equal(model(clips), calm)
    assert [layer.attn.out_drop.drop_prob for layer in model.layers] == pytest.approx([0, 0.05, 0.1])
    still = TimeSformer(**TINY, drop_path_rate=0.0)
    still.load_state_dict(model.state_dict())
    assert torch.equal(still.train()(clips), calm)
    dropping = TimeSformer(**TINY, drop_path_rate=0.9).train()
    assert not torch.equal(dropping(clips), dropping(clips))
    assert [layer.attn.out_drop.drop_prob for layer in dropping.layers] == pytest.approx([0, 0.45, 0.9])
