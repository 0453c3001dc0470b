"""The names of BLIP's and UniAdapter's parts: (ours, released), written once and used in both directions."""

VISION = [
    ('cls_token', 'cls_token'),
    ('pos_embed', 'pos_embed'),
    ('patch_embed.projection.{wb}', 'patch_embed.proj.{wb}'),
    ('layers.{i}.ln1.{wb}', 'blocks.{i}.norm1.{wb}'),
    ('layers.{i}.attn.qkv.{wb}', 'blocks.{i}.attn.qkv.{wb}'),
    ('layers.{i}.attn.proj.{wb}', 'blocks.{i}.attn.proj.{wb}'),
    ('layers.{i}.ln2.{wb}', 'blocks.{i}.norm2.{wb}'),
    ('layers.{i}.ffn.layers.0.0.{wb}', 'blocks.{i}.mlp.fc1.{wb}'),
    ('layers.{i}.ffn.layers.1.{wb}', 'blocks.{i}.mlp.fc2.{wb}'),
    ('ln1.{wb}', 'norm.{wb}'),
]

# What some vision towers have besides: LayerScale, a norm before the blocks.
VISION_EXTRAS = [
    ('layers.{i}.attn.gamma1.weight', 'blocks.{i}.ls1.gamma'),
    ('layers.{i}.ffn.gamma2.weight', 'blocks.{i}.ls2.gamma'),
    ('pre_norm.{wb}', 'norm_pre.{wb}'),
]

# Our text tower keeps the released names below its prefix.
_ATTENTION = ['self.query.{wb}', 'self.key.{wb}', 'self.value.{wb}', 'output.dense.{wb}', 'output.LayerNorm.{wb}']
TEXT = [
    'embeddings.word_embeddings.weight',
    'embeddings.position_embeddings.weight',
    'embeddings.LayerNorm.{wb}',
    *(f'encoder.layer.{{i}}.{block}.{tail}' for block in ('attention', 'crossattention') for tail in _ATTENTION),
    'encoder.layer.{i}.intermediate.dense.{wb}',
    'encoder.layer.{i}.output.dense.{wb}',
    'encoder.layer.{i}.output.LayerNorm.{wb}',
]

DECODER = [
    *(f'bert.{tail}' for tail in TEXT),
    'cls.predictions.transform.dense.{wb}',
    'cls.predictions.transform.LayerNorm.{wb}',
    'cls.predictions.decoder.{wb}',
]

HEADS = [
    ('itc_head.vision_proj.{wb}', 'vision_proj.{wb}'),
    ('itc_head.text_proj.{wb}', 'text_proj.{wb}'),
    ('itc_head.temperature', 'temp'),
    ('itm_head.classifier.{wb}', 'itm_head.{wb}'),
]

MMPRETRAIN_HEADS = [
    ('itc_head.vision_proj.{wb}', 'vision_neck.{wb}'),
    ('itc_head.text_proj.{wb}', 'text_neck.{wb}'),
    ('itc_head.temperature', 'temp'),
    ('itm_head.classifier.{wb}', 'multimodal_head.fc.{wb}'),
]

# In released code the table belongs to the text model, whose cross-attentions read the frames.
UNIADAPTER_TIME = 'text_encoder.encoder.time_embed'
UNIADAPTER = [
    ('adapter.layers.{i}.norm.{wb}', 'adapters.{i}.adapter_layer_norm_before.{wb}'),
    ('adapter.layers.{i}.norm_cross.{wb}', 'adapters.{i}.adapter_layer_norm_cross_modal.{wb}'),
    ('adapter.layers.{i}.down.{wb}', 'adapters.{i}.down_proj.{wb}'),
    ('adapter.layers.{i}.up_text.{wb}', 'adapters.{i}.up_proj.{wb}'),
    ('adapter.layers.{i}.up_multimodal.{wb}', 'adapters.{i}.multi_up_proj.{wb}'),
    ('adapter.layers.{i}.up_vision.{wb}', 'adapters.{i}.visual_up_proj.{wb}'),
    *(
        (f'adapter.kv_adapters.{tower}.{kind}.{ours}', f'{encoder}.video_{kind}_adapter.{theirs}')
        for tower, encoder in (('text', 'text_encoder.encoder'), ('decoder', 'text_decoder.bert.encoder'))
        for kind in ('key', 'value')
        for ours, theirs in (('down.{wb}', 'down_proj.{wb}'), ('up.{wb}', 'up_proj.{wb}'), ('scale', 'scale'))
    ),
    ('temporal_embedding.table', UNIADAPTER_TIME),
]

# The module shared by the towers is registered under each of them in a released file.
UNIADAPTER_ALIASES = [
    ('adapters.{i}.{rest}', 'visual_encoder.adapters.{i}.{rest}'),
    ('adapters.{i}.{rest}', 'visual_encoder.blocks.{i}.adapter.{rest}'),
    ('adapters.{i}.{rest}', 'text_encoder.encoder.layer.{i}.adapter.{rest}'),
]
UNIADAPTER_DECODER_ALIASES = [('adapters.{i}.{rest}', 'text_decoder.bert.encoder.layer.{i}.adapter.{rest}')]
