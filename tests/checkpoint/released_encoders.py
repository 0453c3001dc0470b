"""Tiny files of the encoders that eP-ALM takes, names typed out, values random; and timm's ViT, slowly."""

import torch
from torch.nn import functional as F

WIDTH, HEADS, HIDDEN, DEPTH, PATCH = 8, 2, 32, 2, 4
# (ours, released, shape) of a block and of what is around them.
BLOCK = [
    ('ln1.weight', 'norm1.weight', (WIDTH,)),
    ('ln1.bias', 'norm1.bias', (WIDTH,)),
    ('attn.qkv.weight', 'attn.qkv.weight', (3 * WIDTH, WIDTH)),
    ('attn.qkv.bias', 'attn.qkv.bias', (3 * WIDTH,)),
    ('attn.proj.weight', 'attn.proj.weight', (WIDTH, WIDTH)),
    ('attn.proj.bias', 'attn.proj.bias', (WIDTH,)),
    ('ln2.weight', 'norm2.weight', (WIDTH,)),
    ('ln2.bias', 'norm2.bias', (WIDTH,)),
    ('ffn.layers.0.0.weight', 'mlp.fc1.weight', (HIDDEN, WIDTH)),
    ('ffn.layers.0.0.bias', 'mlp.fc1.bias', (HIDDEN,)),
    ('ffn.layers.1.weight', 'mlp.fc2.weight', (WIDTH, HIDDEN)),
    ('ffn.layers.1.bias', 'mlp.fc2.bias', (WIDTH,)),
]
TEMPORAL = [
    ('temporal_ln.weight', 'temporal_norm1.weight', (WIDTH,)),
    ('temporal_ln.bias', 'temporal_norm1.bias', (WIDTH,)),
    ('temporal_attn.qkv.weight', 'temporal_attn.qkv.weight', (3 * WIDTH, WIDTH)),
    ('temporal_attn.qkv.bias', 'temporal_attn.qkv.bias', (3 * WIDTH,)),
    ('temporal_attn.proj.weight', 'temporal_attn.proj.weight', (WIDTH, WIDTH)),
    ('temporal_attn.proj.bias', 'temporal_attn.proj.bias', (WIDTH,)),
    ('temporal_fc.weight', 'temporal_fc.weight', (WIDTH, WIDTH)),
    ('temporal_fc.bias', 'temporal_fc.bias', (WIDTH,)),
]


def draw(*shape):
    return torch.randn(shape) * 0.3


def encoder(tokens, extra=('cls_token',), channels=3, block=tuple(BLOCK)):
    """The same encoder without prefix in two layouts: ours, released."""
    whole = [
        *((name, name, (1, 1, WIDTH)) for name in extra),
        ('pos_embed', 'pos_embed', (1, tokens, WIDTH)),
        ('patch_embed.projection.weight', 'patch_embed.proj.weight', (WIDTH, channels, PATCH, PATCH)),
        ('patch_embed.projection.bias', 'patch_embed.proj.bias', (WIDTH,)),
        ('ln1.weight', 'norm.weight', (WIDTH,)),
        ('ln1.bias', 'norm.bias', (WIDTH,)),
    ]
    for i in range(DEPTH):
        whole += [(f'layers.{i}.{ours}', f'blocks.{i}.{theirs}', shape) for ours, theirs, shape in block]
    values = [(ours, theirs, draw(*shape)) for ours, theirs, shape in whole]
    return {f'encoder.{ours}': value for ours, _, value in values}, {theirs: value for _, theirs, value in values}


def head(name, classes=5):
    """A classifier."""
    return {f'{name}.weight': draw(classes, WIDTH), f'{name}.bias': draw(classes)}


def flax(ours):
    """An encoder in our layout as arrays of the original files: an axis for heads, inputs first."""
    arrays, size = {}, WIDTH // HEADS
    state = {key.removeprefix('encoder.'): value.numpy() for key, value in ours.items()}
    arrays['cls'] = state['cls_token']
    arrays['Transformer/posembed_input/pos_embedding'] = state['pos_embed']
    arrays['embedding/kernel'] = state['patch_embed.projection.weight'].transpose(2, 3, 1, 0)
    arrays['embedding/bias'] = state['patch_embed.projection.bias']
    arrays['Transformer/encoder_norm/scale'] = state['ln1.weight']
    arrays['Transformer/encoder_norm/bias'] = state['ln1.bias']
    for i in range(DEPTH):
        block, layer = f'Transformer/encoderblock_{i}', f'layers.{i}'
        for norm, name in (('ln1', 'LayerNorm_0'), ('ln2', 'LayerNorm_2')):
            arrays[f'{block}/{name}/scale'] = state[f'{layer}.{norm}.weight']
            arrays[f'{block}/{name}/bias'] = state[f'{layer}.{norm}.bias']
        attention = f'{block}/MultiHeadDotProductAttention_1'
        for part, role in enumerate(('query', 'key', 'value')):
            rows = slice(part * WIDTH, (part + 1) * WIDTH)
            arrays[f'{attention}/{role}/kernel'] = state[f'{layer}.attn.qkv.weight'][rows].T.reshape(WIDTH, HEADS, size)
            arrays[f'{attention}/{role}/bias'] = state[f'{layer}.attn.qkv.bias'][rows].reshape(HEADS, size)
        arrays[f'{attention}/out/kernel'] = state[f'{layer}.attn.proj.weight'].T.reshape(HEADS, size, WIDTH)
        arrays[f'{attention}/out/bias'] = state[f'{layer}.attn.proj.bias']
        for name, linear in (('Dense_0', 'ffn.layers.0.0'), ('Dense_1', 'ffn.layers.1')):
            arrays[f'{block}/MlpBlock_3/{name}/kernel'] = state[f'{layer}.{linear}.weight'].T
            arrays[f'{block}/MlpBlock_3/{name}/bias'] = state[f'{layer}.{linear}.bias']
    return arrays


def slow_vit(state, images, stride=PATCH, extra=('cls_token',)):
    """Normalised tokens (B, N, D) of timm's ViT from its own names."""
    patches = F.conv2d(images, state['patch_embed.proj.weight'], state['patch_embed.proj.bias'], stride)
    patches = patches.flatten(2).transpose(1, 2)
    if state['pos_embed'].shape[1] == patches.shape[1]:  # DeiT-III: the class token has no position.
        x = torch.cat([state['cls_token'].expand(len(images), -1, -1), patches + state['pos_embed']], 1)
    else:
        x = torch.cat([*(state[name].expand(len(images), -1, -1) for name in extra), patches], 1) + state['pos_embed']

    def linear(x, name):
        return x @ state[f'{name}.weight'].T + state[f'{name}.bias']

    def norm(x, name):
        centred = x - x.mean(-1, keepdim=True)
        scale = (centred.square().mean(-1, keepdim=True) + 1e-6).rsqrt()
        return centred * scale * state[f'{name}.weight'] + state[f'{name}.bias']

    for i in range(DEPTH):
        block = f'blocks.{i}'
        q, k, v = (
            part.unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for part in linear(norm(x, f'{block}.norm1'), f'{block}.attn.qkv').chunk(3, -1)
        )
        weights = (q @ k.transpose(-1, -2) / (WIDTH // HEADS) ** 0.5).softmax(-1)
        gains = [state.get(f'{block}.ls{n}.gamma', 1) for n in (1, 2)]
        x = x + gains[0] * linear((weights @ v).transpose(1, 2).flatten(2), f'{block}.attn.proj')
        hidden = F.gelu(linear(norm(x, f'{block}.norm2'), f'{block}.mlp.fc1'))
        x = x + gains[1] * linear(hidden, f'{block}.mlp.fc2')
    return norm(x, 'norm')
