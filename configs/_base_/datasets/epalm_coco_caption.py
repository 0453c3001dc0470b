# COCO captioning on Karpathy's splits (566,747 captions of 113,287 images / 5,000 / 5,000 images) for eP-ALM
# (docs/data.md):
#   data/epalm/COCO/{dataset_coco.json, images/{train2014,val2014}/COCO_val2014_000000000042.jpg, …}
_base_ = './epalm_clips.py'
data_root = 'data/epalm/'
images = dict(media='COCO/images')
caption_text = dict(type='ComposeText', template='')
pack = dict(type='PackSample', task='caption')
train_pipeline = [*_base_.image_train, dict(type='DrawTarget'), caption_text, pack]
test_pipeline = [*_base_.image_test, caption_text, pack]
train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        type='KarpathyCaption',
        data_root=data_root,
        ann_file='COCO/dataset_coco.json',
        split='train',
        data_prefix=images,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=64,
    dataset=dict(
        type='KarpathyCaption',
        data_root=data_root,
        ann_file='COCO/dataset_coco.json',
        split='val',
        data_prefix=images,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=64,
    dataset=dict(
        type='KarpathyCaption',
        data_root=data_root,
        ann_file='COCO/dataset_coco.json',
        split='test',
        data_prefix=images,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(type='CaptionMetric', references='joint')
test_evaluator = val_evaluator
# The rate belongs to 16 images on each of 4 GPUs.
auto_scale_lr = dict(enable=False, base_batch_size=64)
