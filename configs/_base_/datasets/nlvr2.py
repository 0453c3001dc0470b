# NLVR2 (86,373 / 6,982 / 6,967 statements about two images) for sequence-to-sequence models, from VL-T5's files and
# stored features (docs/data.md):
#   data/vlpet/nlvr/{train.json, valid.json, test.json}
#   data/vlpet/nlvr/clip_features/data_clip_RN101_att/train-10171-0-img0.h5 …
nlvr2_data_root = 'data/vlpet/'
nlvr2_features = dict(
    type='LoadFeatures', reader=dict(type='HDF5Reader', root='data/vlpet/nlvr/clip_features/data_clip_RN101_att')
)
nlvr2_text = dict(type='ComposeText', template='nlvr: {statement}')
nlvr2_pack = dict(type='PackSample', task='nlvr2')
nlvr2_train_pipeline = [nlvr2_features, dict(type='DrawTarget'), nlvr2_text, nlvr2_pack]
nlvr2_test_pipeline = [nlvr2_features, nlvr2_text, nlvr2_pack]

nlvr2_train_set = dict(
    type='NLVR2', data_root=nlvr2_data_root, ann_file='nlvr/train.json', pipeline=nlvr2_train_pipeline
)
nlvr2_val_set = dict(
    type='NLVR2', data_root=nlvr2_data_root, ann_file='nlvr/valid.json', test_mode=True, pipeline=nlvr2_test_pipeline
)
nlvr2_test_set = dict(
    type='NLVR2', data_root=nlvr2_data_root, ann_file='nlvr/test.json', test_mode=True, pipeline=nlvr2_test_pipeline
)
nlvr2_val_evaluator = dict(type='NLVR2Metric')
nlvr2_test_evaluator = dict(type='NLVR2Metric')
