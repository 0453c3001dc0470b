# VL-PET large on BLIP, MSR-VTT retrieval: gates at the attentions and FFNs of both towers, value adapters at the
# cross-attentions that read the clip.
_base_ = '../uniadapter/blip_msrvtt.py'
model = dict(
    trainable=['heads', dict(parts='norms', towers=['vision', 'text'])],
    adapter=dict(
        _delete_=True,
        type='VLPET',
        granularity='large',
        targets=dict(towers=['vision', 'text'], kinds=['self_attn', 'ffn']),
        value_targets=dict(towers=['text'], kinds=['cross_attn'], linears=['v']),
    ),
)
