# As epalm_msrvtt_qa.py with the release's ways: half of the videos of questions about left and right are mirrored,
# draws leave out the last frame of every segment, and tests draw their frames, too, so that they do not repeat.
_base_ = './epalm_msrvtt_qa.py'
load = dict(type='LoadClip', num_frames=8, sampling='released_random')
train_pipeline = [load, _base_.train_pipeline[1], dict(type='ClipRandomFlip', prob=0.5), *_base_.train_pipeline[3:]]
test_pipeline = [load, *_base_.test_pipeline[1:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
