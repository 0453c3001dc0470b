# COCO captioning on Karpathy's splits (566,747 captions of 113,287 images / 5,000 / 5,000 images) as conversations for
# ImageTextLM (docs/data.md). The request is LLaVA-1.5's.
#   data/epalm/COCO/{dataset_coco.json, images/{train2014,val2014}/COCO_val2014_000000000042.jpg, …}
_base_ = './chat_loaders.py'
pipeline = [
    dict(type='ToChat', prompt='Provide a one-sentence caption for the provided image.'),
    dict(type='PackChat', task='caption'),
]
coco = dict(
    type='KarpathyCaption',
    data_root='data/epalm/',
    ann_file='COCO/dataset_coco.json',
    data_prefix=dict(media='COCO/images'),
    pipeline=pipeline,
)
train_dataloader = dict(batch_size=8, dataset=dict(coco, split='train'))
val_dataloader = dict(batch_size=32, dataset=dict(coco, split='val', test_mode=True))
test_dataloader = dict(batch_size=32, dataset=dict(coco, split='test', test_mode=True))
val_evaluator = dict(type='CaptionMetric', references='joint')
test_evaluator = val_evaluator
