# Full fine-tuning of BART-base, four video tasks at once: 7 epochs at 3e-5, as in VL-Adapter's release.
_base_ = [
    '../_base_/models/vl_bart_video.py',
    '../_base_/datasets/video_multitask.py',
    '../_base_/schedules/adamw_linear_20e_video.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(trainable='all')
optim_wrapper = dict(optimizer=dict(lr=3e-5))
train_cfg = dict(max_epochs=7)
