# As audiocaps_single.py with the release's way: sounds keep the rate of their file, whatever it is.
_base_ = './audiocaps_single.py'
load = dict(type='LoadAudio', sample_rate=None)
train_dataloader = dict(dataset=dict(pipeline=[load, *_base_.caption_train_pipeline[1:]]))
val_dataloader = dict(dataset=dict(pipeline=[load, *_base_.caption_test_pipeline[1:]]))
test_dataloader = dict(dataset=dict(pipeline=[load, *_base_.caption_test_pipeline[1:]]))
