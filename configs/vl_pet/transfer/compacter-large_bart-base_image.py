# Compacter with VL-PET's large gate and lightweight decoder, as vl-adapter-large_bart-base_image.py.
_base_ = '../vlpet-large_bart-base_image.py'
encoder = dict(towers=['encoder'], kinds=['self_attn', 'ffn'])
encoder_adapter = dict(type='Compacter', bottleneck=96, phm_dim=2, targets=encoder)
decoder_adapter = dict(
    type='Compacter', bottleneck=96, phm_dim=2, targets=dict(towers=['decoder'], kinds=['cross_attn'])
)
gate = dict(type='Gate', granularity='large', bottleneck=96, targets=encoder)
model = dict(adapter=[encoder_adapter, gate, decoder_adapter])
