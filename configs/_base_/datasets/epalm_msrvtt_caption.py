# MSR-VTT captioning (130,260 captions of 6,513 videos / 497 / 2,990 videos) for eP-ALM, 16 frames (docs/data.md):
#   data/msrvtt/annotation/msrvtt_caption_{train,val,test}.json    tools/dataset_converters/msrvtt_caption.py
#   data/msrvtt/videos/all/video0.mp4 …
_base_ = './epalm_clips.py'
data_root = 'data/msrvtt/'
videos = dict(media='videos/all')
caption_text = dict(type='ComposeText', template='')
pack = dict(type='PackSample', task='caption')
train_pipeline = [
    dict(type='LoadClip', num_frames=16, sampling='random'),
    *_base_.video_augment,
    dict(type='DrawTarget'),
    caption_text,
    pack,
]
test_pipeline = [dict(type='LoadClip', num_frames=16, sampling='middle'), _base_.resize, caption_text, pack]
train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        type='VideoCaption',
        data_root=data_root,
        ann_file='annotation/msrvtt_caption_train.json',
        data_prefix=videos,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    dataset=dict(
        type='VideoCaption',
        data_root=data_root,
        ann_file='annotation/msrvtt_caption_val.json',
        data_prefix=videos,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=8,
    dataset=dict(
        type='VideoCaption',
        data_root=data_root,
        ann_file='annotation/msrvtt_caption_test.json',
        data_prefix=videos,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(type='CaptionMetric', references='joint')
test_evaluator = val_evaluator
# The rate belongs to 16 videos on each of 4 GPUs.
auto_scale_lr = dict(enable=False, base_batch_size=64)
