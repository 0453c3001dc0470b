# Own clips or images with captions (docs/own_data.md): one JSON object a line, paths relative to data_root.
#   data/own/{train.jsonl, test.jsonl, …}    {"video": "clips/cat.mp4", "caption": "a cat sleeps"}
data_root = 'data/own/'
num_frames = 8
image_size = 224

train_pipeline = [
    dict(type='LoadClip', num_frames=num_frames, sampling='random'),
    dict(type='ClipRandomResizedCrop', size=image_size, scale=(0.5, 1.0)),
    dict(type='ClipRandomFlip', prob=0.5),
    dict(type='ClipRandAugment', num_ops=2, magnitude=5),
    dict(type='CleanText', max_words=30),
    dict(type='PackSample'),
]
test_pipeline = [
    dict(type='LoadClip', num_frames=num_frames, sampling='middle'),
    dict(type='ClipResize', size=image_size),
    dict(type='CleanText', max_words=30),
    dict(type='PackSample'),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='vlpeft.collate_clips'),
    dataset=dict(type='JSONLRetrieval', data_root=data_root, ann_file='train.jsonl', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='vlpeft.collate_clips'),
    dataset=dict(
        type='JSONLRetrieval', data_root=data_root, ann_file='test.jsonl', test_mode=True, pipeline=test_pipeline
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='RetrievalMetric')
test_evaluator = val_evaluator
