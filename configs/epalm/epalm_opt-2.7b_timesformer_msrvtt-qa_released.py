# epalm_opt-2.7b_timesformer_msrvtt-qa.py as released (docs/reproducing.md): 4 GPUs x 8 questions. Draws leave out the
# last frame of every segment, and tests draw their frames, too, so that they do not repeat.
_base_ = './epalm_opt-2.7b_timesformer_msrvtt-qa.py'
model = {{_base_.released}}
load = dict(type='LoadClip', num_frames=8, sampling='released_random')
train_pipeline = [load, _base_.train_pipeline[1], dict(type='ClipRandomFlip', prob=0.5), *_base_.train_pipeline[3:]]
test_pipeline = [load, *_base_.test_pipeline[1:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
optim_wrapper = {{_base_.released_questions}}
val_cfg = test_cfg = dict(fp16=True)
