# VL-Adapter with VL-PET's large gate and lightweight decoder: gated adapters and trained norms in the encoder, and in
# the decoder adapters at the outputs of the cross-attentions only.
_base_ = '../vlpet-large_bart-base_image.py'
encoder = dict(towers=['encoder'], kinds=['self_attn', 'ffn'])
encoder_adapter = dict(type='Bottleneck', bottleneck=96, targets=encoder)
decoder_adapter = dict(type='Bottleneck', bottleneck=96, targets=dict(towers=['decoder'], kinds=['cross_attn']))
gate = dict(type='Gate', granularity='large', bottleneck=96, targets=encoder)
model = dict(adapter=[encoder_adapter, gate, decoder_adapter])
