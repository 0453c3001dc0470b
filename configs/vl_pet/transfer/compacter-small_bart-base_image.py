# Compacter with VL-PET's small gate, else as large.
_base_ = './compacter-large_bart-base_image.py'
model = dict(
    adapter=[
        {{_base_.encoder_adapter}},
        dict(type='Gate', granularity='small', targets={{_base_.encoder}}),
        {{_base_.decoder_adapter}},
    ]
)
