# As epalm_gqa.py with the release's ways: half of the images of questions about left and right are mirrored, and all of
# valid is evaluated after every epoch.
_base_ = './epalm_gqa.py'
train_pipeline = [*_base_.train_pipeline[:2], dict(type='ClipRandomFlip', prob=0.5), *_base_.train_pipeline[3:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(fraction=None, seed=None))
