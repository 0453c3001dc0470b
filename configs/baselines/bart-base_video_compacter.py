# Compacter on BART-base, four video tasks at once; epochs and rate are those of VL-Adapter's release for other methods.
_base_ = [
    '../_base_/models/vl_bart_video.py',
    '../_base_/datasets/video_multitask.py',
    '../_base_/schedules/adamw_linear_20e_video.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(
    trainable=['heads', dict(parts='norms', towers=['encoder', 'decoder'])],
    adapter=dict(type='Compacter', bottleneck=96, phm_dim=2, targets=dict(towers=['encoder', 'decoder'])),
)
optim_wrapper = dict(optimizer=dict(lr=3e-4))
train_cfg = dict(max_epochs=7)
