# DiDeMo paragraph-to-video retrieval (8,395 / 1,065 / 1,004 videos), 8 frames in training, 16 in tests (docs/data.md):
#   data/didemo/{train_data.json, val_data.json, test_data.json, videos/}
# A paragraph joins about four sentences, of which 30 words would keep half. With 64 words the model needs
# max_text_length of 66 tokens or more.
_base_ = './jsonl_retrieval.py'
data_root = 'data/didemo/'
image_size = 224
max_words = 64

train_pipeline = [
    dict(type='LoadClip', num_frames=8, sampling='random'),
    dict(type='ClipRandomResizedCrop', size=image_size, scale=(0.5, 1.0)),
    dict(type='ClipRandomFlip', prob=0.5),
    dict(type='ClipRandAugment', num_ops=2, magnitude=5),
    dict(type='CleanText', max_words=max_words),
    dict(type='PackSample'),
]
test_pipeline = [
    dict(type='LoadClip', num_frames=16, sampling='middle'),
    dict(type='ClipResize', size=image_size),
    dict(type='CleanText', max_words=max_words),
    dict(type='PackSample'),
]

train_dataloader = dict(
    dataset=dict(type='DiDeMoRetrieval', data_root=data_root, ann_file='train_data.json', pipeline=train_pipeline)
)
val_dataloader = dict(
    dataset=dict(type='DiDeMoRetrieval', data_root=data_root, ann_file='val_data.json', pipeline=test_pipeline)
)
test_dataloader = dict(
    dataset=dict(type='DiDeMoRetrieval', data_root=data_root, ann_file='test_data.json', pipeline=test_pipeline)
)
