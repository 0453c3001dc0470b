# VL-PET large on BART-base, YC2C alone.
_base_ = [
    '../_base_/models/vl_bart_video.py',
    '../_base_/datasets/yc2c_single.py',
    '../_base_/schedules/adamw_linear_20e.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(
    train_norms=['encoder'],
    adapter=dict(type='VLPET', granularity='large', bottleneck=96, heads=4, value_bottleneck=96),
)
optim_wrapper = dict(optimizer=dict(lr=7e-4))
default_hooks = dict(checkpoint=dict(save_best='caption/CIDEr'))
