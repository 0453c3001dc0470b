# eP-ALM with OPT-2.7B and TimeSformer-B, MSR-VTT captions, 16 frames, 4 GPUs x 16 captions.
_base_ = [
    '../_base_/models/epalm_opt-2.7b_timesformer.py',
    '../_base_/datasets/epalm_msrvtt_caption.py',
    '../_base_/schedules/epalm_8e.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(encoder=dict(num_frames=16))
param_scheduler = dict(end=26)
train_cfg = dict(max_epochs=26)
default_hooks = dict(checkpoint=dict(save_best='caption/CIDEr'))
