# Own images with captions for VLSeq2Seq with a vision tower (docs/own_data.md): JSON lines or a list, paths relative to
# data_root.
#   data/own/{train.jsonl, test.jsonl, …}    {"image": "stills/car.jpg", "caption": ["a red car", "a car in the rain"]}
_base_ = './seq2seq_loaders.py'
data_root = 'data/own/'
caption_text = dict(type='ComposeText', template='caption: ')
pack = dict(type='PackSample', task='caption')
train_pipeline = [dict(type='LoadImages', size=224), dict(type='DrawTarget'), caption_text, pack]
test_pipeline = [dict(type='LoadImages', size=224), caption_text, pack]

train_dataloader = dict(
    batch_size=32,
    dataset=dict(type='JSONLCaption', data_root=data_root, ann_file='train.jsonl', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=32,
    dataset=dict(
        type='JSONLCaption', data_root=data_root, ann_file='test.jsonl', test_mode=True, pipeline=test_pipeline
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='CaptionMetric', references='joint')
test_evaluator = val_evaluator
