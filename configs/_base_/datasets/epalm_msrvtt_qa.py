# MSRVTT-QA (158,581 / 12,278 / 72,821 questions) for eP-ALM, 8 frames, from its annotations (docs/data.md):
#   data/msrvtt/annotation/msrvtt_vqa_{train,val,test}.json
#   data/msrvtt/videos/all/video0.mp4 …
# The published files do as well: ann_file='train_qa.json' and so on, data_prefix=dict(media='videos').
_base_ = './epalm_clips.py'
data_root = 'data/msrvtt/'
videos = dict(media='videos/all')
question_text = dict(type='ComposeText', template='{question}?</a>')
pack = dict(type='PackSample', task='video_qa')
train_pipeline = [
    dict(type='LoadClip', num_frames=8, sampling='random'),
    *_base_.video_augment,
    dict(type='DrawTarget'),
    question_text,
    pack,
]
test_pipeline = [dict(type='LoadClip', num_frames=8, sampling='middle'), _base_.resize, question_text, pack]
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        type='VideoQA',
        data_root=data_root,
        ann_file='annotation/msrvtt_vqa_train.json',
        data_prefix=videos,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=64,
    dataset=dict(
        type='VideoQA',
        data_root=data_root,
        ann_file='annotation/msrvtt_vqa_val.json',
        data_prefix=videos,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=64,
    dataset=dict(
        type='VideoQA',
        data_root=data_root,
        ann_file='annotation/msrvtt_vqa_test.json',
        data_prefix=videos,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(type='LabelScoreMetric', normalise='vqa')
test_evaluator = val_evaluator
# The rate belongs to 8 videos on each of 4 GPUs.
auto_scale_lr = dict(enable=False, base_batch_size=32)
