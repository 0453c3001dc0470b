# Trained as epalm_opt-2.7b_vit-b_coco-caption.py, tested on NoCaps.
_base_ = [
    '../_base_/models/epalm_opt-2.7b_vit-b.py',
    '../_base_/datasets/epalm_nocaps.py',
    '../_base_/schedules/epalm_8e.py',
    '../_base_/seq2seq_runtime.py',
]
default_hooks = dict(checkpoint=dict(save_best='caption/CIDEr'))
