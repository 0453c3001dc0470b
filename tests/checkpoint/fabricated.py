"""Tiny checkpoints of every layout with random weights, names typed out from the key lists of the layouts."""

import torch

WIDTH, HIDDEN, EMBED, VOCABULARY, POSITIONS, DEPTH, PATCH = 8, 16, 4, 20, 12, 2, 4
BOTTLENECK, KV_BOTTLENECK, FRAMES = 3, 2, 5


def draw(*shape):
    return torch.randn(shape)


def affine(names, weights):
    """Weight and bias of a linear layer (out, in) or, for one number, of a LayerNorm; under each layout's name."""

    def add(name_of, *shape):
        weight, bias = draw(*shape), draw(shape[0])
        for layout, names_of_layout in weights.items():
            if name := name_of.get(layout):
                names_of_layout[f'{name}.weight'] = weight
                names_of_layout[f'{name}.bias'] = bias

    for name_of, shape in names:
        add(name_of, *shape)


def base(grid=2):
    """The same BLIP in three layouts.

    Returns:
        dict: ``ours``, ``blip``, ``mmpretrain`` -> flat state dict, training leftovers not included.
    """
    out = dict(ours={}, blip={}, mmpretrain={})

    def put(ours, blip, mmpretrain, tensor):
        out['ours'][ours], out['blip'][blip], out['mmpretrain'][mmpretrain] = tensor, tensor, tensor

    def linear(ours, blip, mmpretrain, *shape):
        affine([(dict(ours=ours, blip=blip, mmpretrain=mmpretrain), shape)], out)

    v, official, mm = 'vision', 'visual_encoder', 'vision_backbone'
    put(f'{v}.cls_token', f'{official}.cls_token', f'{mm}.cls_token', draw(1, 1, WIDTH))
    put(f'{v}.pos_embed', f'{official}.pos_embed', f'{mm}.pos_embed', draw(1, 1 + grid**2, WIDTH))
    patch, patch_bias = draw(WIDTH, 3, PATCH, PATCH), draw(WIDTH)
    for tail, tensor in (('weight', patch), ('bias', patch_bias)):
        put(
            f'{v}.patch_embed.projection.{tail}',
            f'{official}.patch_embed.proj.{tail}',
            f'{mm}.patch_embed.projection.{tail}',
            tensor,
        )
    for i in range(DEPTH):
        for ours, theirs, shape in (
            ('ln1', 'norm1', (WIDTH,)),
            ('attn.qkv', 'attn.qkv', (3 * WIDTH, WIDTH)),
            ('attn.proj', 'attn.proj', (WIDTH, WIDTH)),
            ('ln2', 'norm2', (WIDTH,)),
            ('ffn.layers.0.0', 'mlp.fc1', (HIDDEN, WIDTH)),
            ('ffn.layers.1', 'mlp.fc2', (WIDTH, HIDDEN)),
        ):
            linear(f'{v}.layers.{i}.{ours}', f'{official}.blocks.{i}.{theirs}', f'{mm}.layers.{i}.{ours}', *shape)
    linear(f'{v}.ln1', f'{official}.norm', f'{mm}.ln1', WIDTH)

    for tail, tensor in bert().items():
        put(f'text.{tail}', f'text_encoder.{tail}', f'text_backbone.{tail}', tensor)
    linear('itc_head.vision_proj', 'vision_proj', 'vision_neck', EMBED, WIDTH)
    linear('itc_head.text_proj', 'text_proj', 'text_neck', EMBED, WIDTH)
    linear('itm_head.classifier', 'itm_head', 'multimodal_head.fc', 2, WIDTH)
    put('itc_head.temperature', 'temp', 'temp', torch.tensor(0.05))
    return out


def bert():
    """A text model with cross-attention."""
    out = {}

    def linear(name, *shape):
        affine([(dict(out=name), shape)], dict(out=out))

    for table, rows in (('word_embeddings', VOCABULARY), ('position_embeddings', POSITIONS)):
        out[f'embeddings.{table}.weight'] = draw(rows, WIDTH)
    linear('embeddings.LayerNorm', WIDTH)
    for i in range(DEPTH):
        for attention in ('attention', 'crossattention'):
            for tail in ('self.query', 'self.key', 'self.value', 'output.dense'):
                linear(f'encoder.layer.{i}.{attention}.{tail}', WIDTH, WIDTH)
            linear(f'encoder.layer.{i}.{attention}.output.LayerNorm', WIDTH)
        linear(f'encoder.layer.{i}.intermediate.dense', HIDDEN, WIDTH)
        linear(f'encoder.layer.{i}.output.dense', WIDTH, HIDDEN)
        linear(f'encoder.layer.{i}.output.LayerNorm', WIDTH)
    return out


def decoder():
    """BLIP's text decoder: ``ours`` and ``blip``, which names the last bias twice; its weight is that of words."""
    tails = {f'bert.{tail}': tensor for tail, tensor in bert().items()}
    affine(
        [
            (dict(out='cls.predictions.transform.dense'), (WIDTH, WIDTH)),
            (dict(out='cls.predictions.transform.LayerNorm'), (WIDTH,)),
            (dict(out='cls.predictions.decoder'), (VOCABULARY, WIDTH)),
        ],
        dict(out=tails),
    )
    tails['cls.predictions.decoder.weight'] = tails['bert.embeddings.word_embeddings.weight']
    blip = {f'text_decoder.{tail}': tensor for tail, tensor in tails.items()}
    blip['text_decoder.cls.predictions.bias'] = tails['cls.predictions.decoder.bias']
    return dict(ours={f'decoder.{tail}': tensor for tail, tensor in tails.items()}, blip=blip)


def decoder_adapters():
    """What UniAdapter's VQA checkpoints hold for the decoder: key/value adapters of its own."""
    out = dict(ours={}, released={})
    for kind in ('key', 'value'):
        ours, theirs = f'adapter.kv_adapters.decoder.{kind}', f'text_decoder.bert.encoder.video_{kind}_adapter'
        affine(
            [
                (dict(ours=f'{ours}.down', released=f'{theirs}.down_proj'), (KV_BOTTLENECK, WIDTH)),
                (dict(ours=f'{ours}.up', released=f'{theirs}.up_proj'), (WIDTH, KV_BOTTLENECK)),
            ],
            out,
        )
        out['ours'][f'{ours}.scale'] = out['released'][f'{theirs}.scale'] = draw(1)
    return out


def adapters():
    """UniAdapter with K/V adapters and temporal embedding: ``ours`` and ``released`` (no aliases) state dicts."""
    out = dict(ours={}, released={})
    for i in range(DEPTH):
        for ours, theirs, shape in (
            ('norm', 'adapter_layer_norm_before', (WIDTH,)),
            ('norm_cross', 'adapter_layer_norm_cross_modal', (WIDTH,)),
            ('down', 'down_proj', (BOTTLENECK, WIDTH)),
            ('up_text', 'up_proj', (WIDTH, BOTTLENECK)),
            ('up_multimodal', 'multi_up_proj', (WIDTH, BOTTLENECK)),
            ('up_vision', 'visual_up_proj', (WIDTH, BOTTLENECK)),
        ):
            affine([(dict(ours=f'adapter.layers.{i}.{ours}', released=f'adapters.{i}.{theirs}'), shape)], out)
    for kind in ('key', 'value'):
        ours, theirs = f'adapter.kv_adapters.text.{kind}', f'text_encoder.encoder.video_{kind}_adapter'
        affine(
            [
                (dict(ours=f'{ours}.down', released=f'{theirs}.down_proj'), (KV_BOTTLENECK, WIDTH)),
                (dict(ours=f'{ours}.up', released=f'{theirs}.up_proj'), (WIDTH, KV_BOTTLENECK)),
            ],
            out,
        )
        out['ours'][f'{ours}.scale'] = out['released'][f'{theirs}.scale'] = draw(1)
    table = draw(1, FRAMES, WIDTH)
    out['ours']['temporal_embedding.table'] = out['released']['text_encoder.encoder.time_embed'] = table
    return out


def official_leftovers(weights):
    """What BLIP's files hold besides: momentum copies, queues, position ids."""
    momentum = {}
    for key in weights:
        part, _, rest = key.partition('.')
        if part in ('visual_encoder', 'text_encoder', 'vision_proj', 'text_proj'):
            momentum[f'{part}_m.{rest}'] = draw(2)
    return {
        **momentum,
        'image_queue': draw(EMBED, 6),
        'text_queue': draw(EMBED, 6),
        'idx_queue': torch.full((1, 6), -100),
        'ptr_queue': torch.zeros(1, dtype=torch.long),
        'queue_ptr': torch.zeros(1, dtype=torch.long),
        'text_encoder.embeddings.position_ids': torch.arange(POSITIONS)[None],
    }


def released_aliases(
    released,
    towers=('visual_encoder.adapters.{}', 'visual_encoder.blocks.{}.adapter', 'text_encoder.encoder.layer.{}.adapter'),
):
    """The names under which each tower repeats the shared adapters, and the dead second set."""
    aliases = {}
    for key, tensor in released.items():
        part, _, rest = key.partition('.')
        if part == 'adapters':
            depth, _, tail = rest.partition('.')
            for prefix in towers:
                aliases[f'{prefix.format(depth)}.{tail}'] = tensor
            aliases[f'adapters_dec.{rest}'] = draw(2)
    return aliases


def assert_same(found, expected):
    """Same keys, same values, bit for bit."""
    assert sorted(found) == sorted(expected)
    for key, tensor in expected.items():
        assert torch.equal(found[key], tensor), key
