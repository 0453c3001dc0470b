# GQA for sequence-to-sequence models: train and valid (943,000 and 132,062 questions), evaluated on testdev (12,578),
# from VL-T5's files and stored features (docs/data.md):
#   data/vlpet/GQA/{train.json, valid.json, testdev.json}
#   data/vlpet/VG/clip_features/data_clip_RN101_att/2354786.h5 …     images of train and valid
#   data/vlpet/GQA/clip_features/data_clip_RN101_att/n161313.h5 …    images of testdev
gqa_data_root = 'data/vlpet/'
# The prompt is spelt so in the release.
gqa_text = dict(type='ComposeText', template='gpa: {question}')
gqa_pack = dict(type='PackSample', task='gqa')
gqa_train_features = dict(
    type='LoadFeatures', reader=dict(type='HDF5Reader', root='data/vlpet/VG/clip_features/data_clip_RN101_att')
)
gqa_test_features = dict(
    type='LoadFeatures', reader=dict(type='HDF5Reader', root='data/vlpet/GQA/clip_features/data_clip_RN101_att')
)
gqa_train_pipeline = [gqa_train_features, dict(type='DrawTarget'), gqa_text, gqa_pack]
gqa_test_pipeline = [gqa_test_features, gqa_text, gqa_pack]

gqa_train_set = dict(
    type='ConcatDataset',
    datasets=[
        dict(type='GQA', data_root=gqa_data_root, ann_file='GQA/train.json', pipeline=gqa_train_pipeline),
        dict(type='GQA', data_root=gqa_data_root, ann_file='GQA/valid.json', pipeline=gqa_train_pipeline),
    ],
)
gqa_val_set = dict(
    type='GQA', data_root=gqa_data_root, ann_file='GQA/testdev.json', test_mode=True, pipeline=gqa_test_pipeline
)
gqa_test_set = gqa_val_set
gqa_val_evaluator = dict(type='LabelScoreMetric')
gqa_test_evaluator = dict(type='LabelScoreMetric')
