# As epalm_coco_caption.py with the release's way: half of the images of captions about left and right are mirrored.
_base_ = './epalm_coco_caption.py'
train_pipeline = [*_base_.train_pipeline[:2], dict(type='ClipRandomFlip', prob=0.5), *_base_.train_pipeline[3:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
