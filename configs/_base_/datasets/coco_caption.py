# COCO captioning on Karpathy's splits (113,287 / 5,000 / 5,000 images) for sequence-to-sequence models, from stored
# features (docs/data.md):
#   data/vlpet/COCO/dataset_coco.json
#   data/vlpet/COCO/clip_features/data_clip_RN101_att/COCO_train2014_000000000009.h5 …
caption_data_root = 'data/vlpet/'
caption_features = dict(
    type='LoadFeatures', reader=dict(type='HDF5Reader', root='data/vlpet/COCO/clip_features/data_clip_RN101_att')
)
caption_text = dict(type='ComposeText', template='caption: ')
caption_pack = dict(type='PackSample', task='caption')
caption_train_pipeline = [caption_features, dict(type='DrawTarget'), caption_text, caption_pack]
caption_test_pipeline = [caption_features, caption_text, caption_pack]

caption_train_set = dict(
    type='KarpathyCaption',
    data_root=caption_data_root,
    ann_file='COCO/dataset_coco.json',
    split='train',
    pipeline=caption_train_pipeline,
)
caption_val_set = dict(
    type='KarpathyCaption',
    data_root=caption_data_root,
    ann_file='COCO/dataset_coco.json',
    split='val',
    test_mode=True,
    pipeline=caption_test_pipeline,
)
caption_test_set = dict(
    type='KarpathyCaption',
    data_root=caption_data_root,
    ann_file='COCO/dataset_coco.json',
    split='test',
    test_mode=True,
    pipeline=caption_test_pipeline,
)
caption_val_evaluator = dict(type='CaptionMetric', references='joint')
caption_test_evaluator = dict(type='CaptionMetric', references='joint')
