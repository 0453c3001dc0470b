# VL-PET large on BART-base, four image tasks at once, as in the paper: one GPU, seeds 42, 43 and 9595.
_base_ = [
    '../_base_/models/vl_bart.py',
    '../_base_/datasets/image_multitask.py',
    '../_base_/schedules/adamw_linear_20e_image.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(
    trainable=['heads', dict(parts='norms', towers=['encoder'])],
    adapter=dict(type='VLPET', granularity='large', bottleneck=96, heads=4, value_bottleneck=96),
)
