# eP-ALM_pt-L on AudioCaps, whose figure is published and whose settings are not (docs/reproducing.md): the released
# ways, the rates of the released pt-L recipes, and batches and epochs of OPT-2.7B's.
_base_ = [
    '../_base_/models/epalm-ptl_opt-6.7b_ast.py',
    '../_base_/datasets/audiocaps_released.py',
    '../_base_/schedules/epalm_35e_caption_released.py',
    '../_base_/seq2seq_runtime.py',
]
model = {{_base_.released}}
param_scheduler = dict(end=30)
train_cfg = dict(max_epochs=30)
default_hooks = dict(checkpoint=dict(save_best='caption/CIDEr'))
