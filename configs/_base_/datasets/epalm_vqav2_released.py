# As epalm_vqav2.py with the release's ways: half of the images of questions about left and right are mirrored, and
# questions without any scored answer are trained on, with an empty answer.
_base_ = './epalm_vqav2.py'
train_pipeline = [*_base_.train_pipeline[:2], dict(type='ClipRandomFlip', prob=0.5), *_base_.train_pipeline[3:]]
train_dataloader = dict(dataset=dict(keep_unanswered=True, pipeline=train_pipeline))
