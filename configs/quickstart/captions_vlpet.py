# VL-PET large, with the visual projection.
_base_ = './_captions_.py'
model = dict(
    trainable=['heads', dict(parts='norms', towers=['encoder'])],
    adapter=dict(
        type='VLPET', granularity='large', bottleneck=48, heads=4, value_bottleneck=48, scale=2.0, init='zero_up'
    ),
)
