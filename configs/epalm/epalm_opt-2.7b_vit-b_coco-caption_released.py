# epalm_opt-2.7b_vit-b_coco-caption.py as released (docs/reproducing.md): 4 GPUs x 16 captions.
_base_ = [
    '../_base_/models/epalm_opt-2.7b_vit-b.py',
    '../_base_/datasets/epalm_coco_caption_released.py',
    '../_base_/schedules/epalm_8e_caption_released.py',
    '../_base_/seq2seq_runtime.py',
]
model = {{_base_.released}}
default_hooks = dict(checkpoint=dict(save_best='caption/CIDEr'))
