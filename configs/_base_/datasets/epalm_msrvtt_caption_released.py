# As epalm_msrvtt_caption.py with the release's ways: training on 7,010 videos, which include those of val, the best
# epoch by the test set itself, mirrored videos of captions about left and right, and random frames in tests.
_base_ = './epalm_msrvtt_caption.py'
train_pipeline = [*_base_.train_pipeline[:2], dict(type='ClipRandomFlip', prob=0.5), *_base_.train_pipeline[3:]]
test_pipeline = [dict(type='LoadClip', num_frames=16, sampling='random'), *_base_.test_pipeline[1:]]
train_dataloader = dict(
    dataset=dict(ann_file='annotation/msrvtt_caption_train7k.json', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(ann_file='annotation/msrvtt_caption_test.json', pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
