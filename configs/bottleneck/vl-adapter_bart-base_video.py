# VL-Adapter on BART-base, four video tasks at once: 7 epochs at 3e-4, as in its release.
_base_ = [
    '../_base_/models/vl_bart_video.py', '../_base_/datasets/video_multitask.py',
    '../_base_/schedules/adamw_linear_20e_video.py', '../_base_/seq2seq_runtime.py'
]
model = dict(
    train_norms=['encoder', 'decoder'],
    adapter=dict(type='Bottleneck', bottleneck=96, targets=dict(towers=['encoder', 'decoder'])))
optim_wrapper = dict(optimizer=dict(lr=3e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-8, begin=0, end=0.7, by_epoch=True, convert_to_iter_based=True),
    dict(type='LinearLR', start_factor=1, end_factor=0, begin=0.7, end=7, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=7)
