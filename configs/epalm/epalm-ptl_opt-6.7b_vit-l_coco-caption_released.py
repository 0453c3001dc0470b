# epalm-ptl_opt-6.7b_vit-l_coco-caption.py as released (docs/reproducing.md): 8 GPUs x 2 captions.
_base_ = './epalm-ptl_opt-6.7b_vit-l_coco-caption.py'
model = {{_base_.released}}
train_pipeline = [*_base_.train_pipeline[:2], dict(type='ClipRandomFlip', prob=0.5), *_base_.train_pipeline[3:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = {{_base_.released_captions}}
val_cfg = test_cfg = dict(fp16=True)
