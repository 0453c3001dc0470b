# VL-PET large.
_base_ = './_tasks_.py'
model = dict(
    trainable=['heads', dict(parts='norms', towers=['encoder'])],
    adapter=dict(type='VLPET', granularity='large', bottleneck=48, heads=4, value_bottleneck=48, init='zero_up'),
)
