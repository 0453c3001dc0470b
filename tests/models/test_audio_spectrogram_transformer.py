"""AST: size, its overlapping patches against loops, the whole against transformers' own."""

import torch
from transformers import ASTConfig, ASTModel

from tests.tiny import randomise
from vlpeft.models.backbones import AST
from vlpeft.registry import MODELS

WIDTH, HEADS, DEPTH, FRAMES, BINS, PATCH, STRIDE = 16, 2, 2, 50, 32, 8, 5
ROWS, COLUMNS = (BINS - PATCH) // STRIDE + 1, (FRAMES - PATCH) // STRIDE + 1
ARCH = dict(embed_dims=WIDTH, num_layers=DEPTH, num_heads=HEADS, feedforward_channels=4 * WIDTH)


def build():
    config = dict(type='AST', num_frames=FRAMES, num_bins=BINS, patch_size=PATCH, stride=STRIDE, arch=ARCH)
    model = randomise(MODELS.build(config)).double()
    model.eval()
    return model


def fbanks():
    return torch.randn(2, FRAMES, BINS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_base_model_has_exactly_the_published_size():
    with torch.device('meta'):
        model = AST()
        # DeiT's two classifiers of 1,000 classes are in the released transformer and never used.
        assert sum(p.numel() for p in model.parameters()) + 2 * 1000 * (768 + 1) == 87_725_264
        assert model.pos_embed.shape == (1, 1214, 768) and model.embed_dims == 768
        assert model(torch.empty(2, 1024, 128))[-1].shape == (2, 1214, 768)


def test_patches_overlap_and_run_along_time_first():
    model, inputs = build(), fbanks()
    found, grid = model.patch_embed(inputs.transpose(1, 2)[:, None])
    assert tuple(grid) == (ROWS, COLUMNS) == (5, 9)
    kernel, bias = model.patch_embed.projection.weight, model.patch_embed.projection.bias
    for sample in range(2):
        index = 0
        for low in range(0, BINS - PATCH + 1, STRIDE):
            for start in range(0, FRAMES - PATCH + 1, STRIDE):
                patch = inputs[sample, start : start + PATCH, low : low + PATCH].T
                expected = torch.stack([(kernel[d, 0] * patch).sum() + bias[d] for d in range(WIDTH)])
                torch.testing.assert_close(found[sample, index], expected, rtol=1e-10, atol=1e-10)
                index += 1
        assert index == found.shape[1]


def test_the_whole_model_is_that_of_transformers():
    model = build()
    config = ASTConfig(
        hidden_size=WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH,
        patch_size=PATCH,
        frequency_stride=STRIDE,
        time_stride=STRIDE,
        max_length=FRAMES,
        num_mel_bins=BINS,
        layer_norm_eps=1e-6,
    )
    own = model.state_dict()
    state = {
        'embeddings.cls_token': own.pop('cls_token'),
        'embeddings.distillation_token': own.pop('dist_token'),
        'embeddings.position_embeddings': own.pop('pos_embed'),
    }
    names = {'embeddings.patch_embeddings.projection': 'patch_embed.projection', 'layernorm': 'ln1'}
    for i in range(DEPTH):
        layer = f'encoder.layer.{i}'
        names.update(
            {
                f'{layer}.attention.output.dense': f'layers.{i}.attn.proj',
                f'{layer}.layernorm_before': f'layers.{i}.ln1',
                f'{layer}.layernorm_after': f'layers.{i}.ln2',
                f'{layer}.intermediate.dense': f'layers.{i}.ffn.layers.0.0',
                f'{layer}.output.dense': f'layers.{i}.ffn.layers.1',
            }
        )
    for leaf in ('weight', 'bias'):
        state.update({f'{foreign}.{leaf}': own.pop(f'{ours}.{leaf}') for foreign, ours in names.items()})
        for i in range(DEPTH):
            for role, part in zip(('query', 'key', 'value'), own.pop(f'layers.{i}.attn.qkv.{leaf}').chunk(3)):
                state[f'encoder.layer.{i}.attention.attention.{role}.{leaf}'] = part
    assert not own
    # By the names of published files, which transformers 5 translates.
    theirs = ASTModel.from_pretrained(None, config=config, state_dict=state, dtype=torch.float64).eval()
    inputs = fbanks()
    torch.testing.assert_close(model(inputs)[-1], theirs(inputs).last_hidden_state, rtol=1e-10, atol=1e-10)
