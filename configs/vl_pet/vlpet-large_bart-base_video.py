# VL-PET large on BART-base, four video tasks at once, as released: one GPU, seeds 42, 43 and 9595.
_base_ = [
    '../_base_/models/vl_bart_video.py',
    '../_base_/datasets/video_multitask.py',
    '../_base_/schedules/adamw_linear_20e_video.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(
    trainable=['heads', dict(parts='norms', towers=['encoder'])],
    adapter=dict(type='VLPET', granularity='large', bottleneck=96, heads=4, value_bottleneck=96),
)
