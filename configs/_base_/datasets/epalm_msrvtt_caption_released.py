# As epalm_msrvtt_caption.py with the release's ways: training on 7,010 videos, which include those of val, the best
# epoch by the test set itself, mirrored videos of captions about left and right, and frames as in
# epalm_msrvtt_qa_released.py.
_base_ = './epalm_msrvtt_caption.py'
load = dict(type='LoadClip', num_frames=16, sampling='released_random')
train_pipeline = [load, _base_.train_pipeline[1], dict(type='ClipRandomFlip', prob=0.5), *_base_.train_pipeline[3:]]
test_pipeline = [load, *_base_.test_pipeline[1:]]
train_dataloader = dict(dataset=dict(ann_file='annotation/msrvtt_caption_train7k.json', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(ann_file='annotation/msrvtt_caption_test.json', pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
