"""Parts of a tower outside of its blocks: connectors and patch embeddings."""

METHODS = dict(
    connector_lora=dict(type='LoRA', rank=2, targets=dict(kinds=['connector'])),
    patch_embed_bottleneck=dict(type='Bottleneck', bottleneck=3, targets=dict(kinds=['patch_embed'])),
)

_NO_CONNECTOR, _NO_PATCHES = "['connector']; there are", "['patch_embed']; there are"
#: What the message of a refusal says.
REFUSED = {
    # Models of texts alone have neither.
    ('connector_lora', 'bart'): _NO_CONNECTOR,
    ('connector_lora', 't5'): _NO_CONNECTOR,
    ('connector_lora', 't5_gated'): _NO_CONNECTOR,
    ('connector_lora', 'opt'): _NO_CONNECTOR,
    ('connector_lora', 'opt_post_norm'): _NO_CONNECTOR,
    ('connector_lora', 'gpt2'): _NO_CONNECTOR,
    ('connector_lora', 'llama'): _NO_CONNECTOR,
    ('connector_lora', 'blip_text'): _NO_CONNECTOR,
    ('connector_lora', 'blip_decoder'): _NO_CONNECTOR,
    ('patch_embed_bottleneck', 'bart'): _NO_PATCHES,
    ('patch_embed_bottleneck', 't5'): _NO_PATCHES,
    ('patch_embed_bottleneck', 't5_gated'): _NO_PATCHES,
    ('patch_embed_bottleneck', 'opt'): _NO_PATCHES,
    ('patch_embed_bottleneck', 'opt_post_norm'): _NO_PATCHES,
    ('patch_embed_bottleneck', 'gpt2'): _NO_PATCHES,
    ('patch_embed_bottleneck', 'llama'): _NO_PATCHES,
    ('patch_embed_bottleneck', 'blip_text'): _NO_PATCHES,
    ('patch_embed_bottleneck', 'blip_decoder'): _NO_PATCHES,
    # Vision backbones that return the states of their last block.
    ('connector_lora', 'vit'): _NO_CONNECTOR,
    ('connector_lora', 'dinov2'): _NO_CONNECTOR,
    ('connector_lora', 'dinov2_giant'): _NO_CONNECTOR,
    ('connector_lora', 'beit'): _NO_CONNECTOR,
    ('connector_lora', 'eva02'): _NO_CONNECTOR,
    ('connector_lora', 'timesformer'): _NO_CONNECTOR,
}
