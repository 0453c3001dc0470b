# eP-ALM_pt-L on MSR-VTT captions, whose figure is published and whose settings are not (docs/reproducing.md): the
# released ways, the rates of the released pt-L recipes, and batches and epochs of OPT-2.7B's released recipe.
_base_ = [
    '../_base_/models/epalm-ptl_opt-6.7b_timesformer.py',
    '../_base_/datasets/epalm_msrvtt_caption_released.py',
    '../_base_/schedules/epalm_35e_caption_released.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(_base_.released, encoder=dict(num_frames=16))
param_scheduler = dict(end=26)
train_cfg = dict(max_epochs=26)
default_hooks = dict(checkpoint=dict(save_best='caption/CIDEr'))
