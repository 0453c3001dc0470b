"""Visual prompts equal a loop over the blocks that concatenates rows, and leave what is behind them its tokens."""

import pytest
import torch
from torch.nn import functional as F

import vlpeft
from tests.majors import FIVE, MASKS
from tests.tiny import DEPTH, WIDTH, build_retriever, random_batch, randomise, write_vocabulary
from tests.towers import VISION
from vlpeft.models import count_parameters
from vlpeft.registry import MODELS
from vlpeft.sites import SiteError, checkpoint_blocks
from vlpeft.testing import SUBJECTS

EXACT = dict(rtol=1e-8, atol=1e-10)
LENGTH = 3
VPT = dict(type='VPT', length=LENGTH)


def attached(model, **options):
    adapter = vlpeft.attach(model, dict(VPT, **options), check_after=0)
    randomise(adapter.sets, seed=1)
    return adapter


def images(batch=2, size=16):
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(2)).double()


def tables(adapter, deep):
    units = adapter.sets['default'].prompts['vision']
    assert len(units) == (DEPTH if deep else 1)
    return [unit.table for unit in units]


def pass_blocks(x, blocks, prompts, first=1):
    """The equation: rows after the class token before every block, or carried from the first to the last."""
    for depth, block in enumerate(blocks):
        if depth < len(prompts):
            rows = prompts[depth].expand(len(x), -1, -1)
            after = first + (LENGTH if depth else 0)
            x = torch.cat([x[:, :first], rows, x[:, after:]], 1)
        x = block(x)
    return torch.cat([x[:, :first], x[:, first + LENGTH :]], 1)


def embed_images(vit, pictures):
    patches = vit.patch_embed(pictures)[0]
    cls = vit.cls_token.expand(len(patches), -1, -1)
    return vit.pre_norm(torch.cat([cls, patches], 1) + vit.pos_embed)


def rotary_block(layer, x, side):
    """A block of EVA-02, in which only patches are turned by their places."""
    y = layer.norm1(x)
    q, k, v = layer.attn.qkv(y).unflatten(-1, (3, layer.attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
    start = 1 + LENGTH
    q, k = (torch.cat([part[:, :, :start], layer.attn.rope(part[:, :, start:], side)], 2) for part in (q, k))
    attention = (q @ k.transpose(-1, -2) * layer.attn.scale).softmax(-1)
    x = x + layer.attn.proj((attention @ v).transpose(1, 2).flatten(2))
    return x + layer.mlp(layer.norm2(x))


@pytest.mark.parametrize('dtype, rtol', [(torch.float64, 1e-8), (torch.float32, 1e-4)])
@pytest.mark.parametrize('deep', [True, False])
@pytest.mark.parametrize('name', ['clip', 'dinov2', 'dinov2_giant', 'eva02'])
def test_towers_equal_the_loop(name, deep, dtype, rtol):
    model, plain = (randomise(MODELS.build(VISION[name]).to(dtype)) for _ in range(2))
    model.eval(), plain.eval()
    adapter, pictures = attached(model, deep=deep), images().to(dtype)
    found = adapter(pictures)[-1]
    blocks = plain.layers
    if name == 'eva02':
        blocks = [lambda x, layer=layer: rotary_block(layer, x, (2, 2)) for layer in plain.layers]
    expected = pass_blocks(embed_images(plain, pictures), blocks, tables(adapter, deep))
    expected = plain.ln1(expected) if plain.final_norm else expected
    torch.testing.assert_close(found, expected, rtol=rtol, atol=rtol * float(expected.detach().abs().max()))
    params = tables(adapter, deep)
    for fast, slow in zip(*(torch.autograd.grad(out.square().sum(), params) for out in (found, expected))):
        torch.testing.assert_close(fast, slow, rtol=rtol, atol=rtol * float(slow.abs().max()))
        assert slow.abs().max() > 0
    with adapter.use(None):
        assert (adapter(pictures)[-1] - found).abs().max() > 1e-3


@pytest.mark.parametrize('deep', [True, False])
@pytest.mark.parametrize('name, first', [('clip', 1), ('siglip', 0)])
def test_models_of_transformers_equal_the_loop(name, first, deep):
    model, plain = SUBJECTS[name].model(), SUBJECTS[name].model().vision_model
    adapter, batch = attached(model, deep=deep), SUBJECTS[name].inputs(2)
    pictures = batch['pixel_values']
    x = plain.embeddings(pictures)
    x = plain.pre_layrnorm(x) if first else x
    blocks = [
        lambda x, layer=layer: out[0] if isinstance(out := layer(x, *[None] * (MASKS if first else 1)), tuple) else out
        for layer in plain.encoder.layers
    ]
    x = pass_blocks(x, blocks, tables(adapter, deep), first)
    out = model.vision_model(pictures)
    if first:
        expected = plain.post_layernorm(x[:, 0])
        assert len(model.vision_model(pictures, output_hidden_states=True).hidden_states) == DEPTH + 1
        # transformers 5 records what enters the first block with the rows.
        for states in model.vision_model(pictures, output_hidden_states=True).hidden_states[FIVE:]:
            assert states.shape == x.shape
    else:
        x = plain.post_layernorm(x)
        expected = plain.head(x)
    close = dict(rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(out.last_hidden_state, x, **close)
    torch.testing.assert_close(out.pooler_output, expected, **close)


@pytest.mark.parametrize('deep', [True, False])
@pytest.mark.parametrize('out_type', ['cls_token', 'featmap', 'avg_featmap', 'raw'])
def test_what_is_behind_sees_the_patches_alone(out_type, deep):
    config = dict(VISION['dinov2'], out_indices=list(range(DEPTH)))
    model = randomise(MODELS.build(dict(config, out_type=out_type)).double())
    raw = randomise(MODELS.build(dict(config, out_type='raw', final_norm=True)).double())
    model.eval(), raw.eval()
    adapter, pictures = attached(model, deep=deep), images()
    other = attached(raw, deep=deep)
    other.sets.load_state_dict(adapter.sets.state_dict())
    with adapter.use(None):
        shapes = [out.shape for out in adapter(pictures)]
    found = adapter(pictures)
    assert [out.shape for out in found] == shapes
    for out, tokens in zip(found, other(pictures)):
        patches = tokens[:, 1:]
        expected = dict(
            raw=tokens,
            cls_token=tokens[:, 0],
            featmap=patches.transpose(1, 2).unflatten(-1, (2, 2)),
            avg_featmap=F.layer_norm(patches.mean(1), (WIDTH,), model.ln2.weight, model.ln2.bias, model.ln2.eps)
            if out_type == 'avg_featmap'
            else None,
        )[out_type]
        torch.testing.assert_close(out, expected, **EXACT)


def test_dropout_draws_in_training_only():
    model = randomise(MODELS.build(VISION['dinov2']).double())
    model.eval()
    adapter, pictures = attached(model, dropout=0.5), images()
    assert torch.equal(adapter(pictures)[-1], adapter(pictures)[-1])
    adapter.train()
    assert not torch.equal(adapter(pictures)[-1], adapter(pictures)[-1])
    # Each sample has its own draw, as in the release.
    one, other = adapter(pictures[:1].expand(2, -1, -1, -1))[-1]
    assert not torch.equal(one, other)


def test_a_block_that_runs_again_without_the_one_before_it_is_refused():
    """transformers 5 runs a block's ``forward`` again, and no hook of the block."""
    adapter = attached(SUBJECTS['clip'].model(), deep=False)
    table = adapter.sets['default'].prompts['vision'][0].table
    (expected,) = torch.autograd.grad(SUBJECTS['clip'].run(adapter).square().sum(), [table])
    adapter.gradient_checkpointing_enable()
    adapter.train()
    if FIVE:
        (found,) = torch.autograd.grad(SUBJECTS['clip'].run(adapter).square().sum(), [table])
        torch.testing.assert_close(found, expected)
        return
    with pytest.raises(SiteError, match=r'a block runs again without the one before it.*; use vlpeft.sites.checkpoint'):
        SUBJECTS['clip'].run(adapter).square().sum().backward()


def test_the_start_is_the_releases():
    torch.manual_seed(0)
    adapter = vlpeft.attach(MODELS.build(VISION['dinov2']), dict(type='VPT', length=200))
    table = adapter.sets['default'].prompts['vision'][0].table.detach()
    bound = (3 / WIDTH) ** 0.5
    assert table.abs().max() <= bound and table.abs().max() > 0.98 * bound
    assert abs(float(table.std()) - bound / 3**0.5) < 0.02


METHODS = dict(
    alone=dict(VPT),
    uniadapter=[dict(type='UniAdapter', bottleneck=4), dict(VPT)],
    first=[dict(VPT), dict(type='UniAdapter', bottleneck=4)],
)


@pytest.mark.parametrize('method', METHODS)
def test_retrieval_trains_them(tmp_path, method):
    model = build_retriever(adapter=METHODS[method], vocabulary=write_vocabulary(tmp_path))
    clips, samples = random_batch()
    vision = model.encode_vision(clips)
    with model.switch.use(None):
        assert model.encode_vision(clips).tokens.shape == vision.tokens.shape
        assert not torch.allclose(model.encode_vision(clips).feature, vision.feature)
    sum(value for key, value in model(clips, samples, mode='loss').items()).backward()
    trained = {name: param for name, param in model.named_parameters() if 'prompts' in name}
    assert len(trained) == DEPTH and all(param.grad.any() for param in trained.values())
    expected = build_retriever(adapter=METHODS[method])
    checkpoint_blocks(expected.towers['vision'], expected.switch)
    torch.testing.assert_close(expected.encode_vision(clips).feature, vision.feature, **EXACT)


@pytest.mark.parametrize('order', [('uniadapter', 'first')])
def test_the_order_beside_uniadapter_does_not_matter(order):
    clips, _ = random_batch()
    found = []
    for method, swap in zip(order, (False, True)):
        model = build_retriever(adapter=METHODS[method])
        uni, vpt = model.adapter.parts[::-1] if swap else model.adapter.parts
        randomise(uni, seed=5), randomise(vpt, seed=6)
        found.append(model.encode_vision(clips).tokens)
    torch.testing.assert_close(*found, **EXACT)


def test_counts():
    counts = count_parameters(build_retriever(adapter=dict(VPT)))
    assert counts['by_role']['soft_prompt'] == DEPTH * LENGTH * WIDTH
    counts = count_parameters(build_retriever(adapter=dict(VPT, deep=False)))
    assert counts['by_role']['soft_prompt'] == LENGTH * WIDTH


def test_what_cannot_be_is_refused():
    with pytest.raises(SiteError, match=r'VPT: tower "vision" takes no further rows: its attention adds a relative'):
        attached(MODELS.build(VISION['beit']))
    with pytest.raises(SiteError, match=r'VPT: tower "text" is no vision transformer'):
        attached(SUBJECTS['clip'].model(), targets=dict(towers=['text']))
    with pytest.raises(SiteError, match=r'takes no further rows: its attention over time shares all rows'):
        attached(SUBJECTS['timesformer'].model())


def test_beit_without_relative_positions_takes_them():
    config = dict(VISION['beit'], use_rel_pos_bias=False, use_abs_pos_emb=True)
    model, plain = (randomise(MODELS.build(config).double()) for _ in range(2))
    model.eval(), plain.eval()
    adapter, pictures = attached(model), images()
    patches = plain.patch_embed(pictures)[0]
    x = torch.cat([plain.cls_token.expand(2, -1, -1), patches], 1) + plain.pos_embed
    blocks = [lambda x, layer=layer: layer(x, None) for layer in plain.layers]
    expected = pass_blocks(x, blocks, tables(adapter, True))
    expected = plain.ln1(expected) if plain.final_norm else expected
    torch.testing.assert_close(adapter(pictures)[-1], expected, **EXACT)
