# eP-ALM_pt-L: OPT-6.7B and ViT-L/16, COCO captions, 8 GPUs x 2 captions.
_base_ = [
    '../_base_/models/epalm-ptl_opt-6.7b_vit-l.py',
    '../_base_/datasets/epalm_coco_caption.py',
    '../_base_/schedules/epalm_35e.py',
    '../_base_/seq2seq_runtime.py',
]
train_dataloader = dict(batch_size=2)
val_dataloader = dict(batch_size=16)
test_dataloader = dict(batch_size=16)
auto_scale_lr = dict(base_batch_size=16)
default_hooks = dict(checkpoint=dict(save_best='caption/CIDEr'))
