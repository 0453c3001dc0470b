# Prompt tuning of BART-base, four video tasks at once: 7 epochs at 3e-4, as in VL-Adapter's release.
_base_ = [
    '../_base_/models/vl_bart_video.py',
    '../_base_/datasets/video_multitask.py',
    '../_base_/schedules/adamw_linear_20e_video.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(adapter=dict(type='PromptTuning', length=40, hidden=800, targets=dict(towers=['encoder'])))
optim_wrapper = dict(optimizer=dict(lr=3e-4))
train_cfg = dict(max_epochs=7)
