# COCO image-text retrieval on Karpathy's splits (113,287 / 5,000 / 5,000 images) at 384 px, from BLIP's files:
#   data/coco/{coco_karpathy_train.json, coco_karpathy_val.json, coco_karpathy_test.json, train2014/, val2014/}
# Karpathy's single file instead: dataset=dict(ann_file='dataset_coco.json', split='train') (docs/data.md).
_base_ = './jsonl_retrieval.py'
data_root = 'data/coco/'
num_frames = 1
image_size = 384

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
    batch_size=32,
    dataset=dict(
        type='KarpathyRetrieval', data_root=data_root, ann_file='coco_karpathy_train.json', pipeline=train_pipeline
    ),
)
val_dataloader = dict(
    batch_size=64,
    dataset=dict(
        type='KarpathyRetrieval', data_root=data_root, ann_file='coco_karpathy_val.json', pipeline=test_pipeline
    ),
)
test_dataloader = dict(
    batch_size=64,
    dataset=dict(
        type='KarpathyRetrieval', data_root=data_root, ann_file='coco_karpathy_test.json', pipeline=test_pipeline
    ),
)
