# VQA v2 on Karpathy's splits (605,102 / 26,729 / 26,280 questions) for sequence-to-sequence models, from VL-T5's files
# and stored features (docs/data.md):
#   data/vlpet/vqa/{karpathy_train.json, karpathy_val.json, karpathy_test.json, v2_mscoco_val2014_annotations.json}
#   data/vlpet/COCO/clip_features/data_clip_RN101_att/COCO_train2014_000000000009.h5 …
vqa_data_root = 'data/vlpet/'
vqa_features = dict(
    type='LoadFeatures', reader=dict(type='HDF5Reader', root='data/vlpet/COCO/clip_features/data_clip_RN101_att')
)
vqa_text = dict(type='ComposeText', template='vqa: {question}')
vqa_pack = dict(type='PackSample', task='vqa')
vqa_train_pipeline = [vqa_features, dict(type='DrawTarget'), vqa_text, vqa_pack]
vqa_test_pipeline = [vqa_features, vqa_text, vqa_pack]

# Questions without any scored answer have a loss of 0, but the mean is over them too, as released.
vqa_train_set = dict(
    type='VQAv2',
    data_root=vqa_data_root,
    ann_file='vqa/karpathy_train.json',
    keep_unanswered=True,
    pipeline=vqa_train_pipeline,
)
# Images of both splits are from COCO's val2014.
vqa_val_set = dict(
    type='VQAv2',
    data_root=vqa_data_root,
    ann_file='vqa/karpathy_val.json',
    annotations='vqa/v2_mscoco_val2014_annotations.json',
    test_mode=True,
    pipeline=vqa_test_pipeline,
)
vqa_test_set = dict(
    type='VQAv2',
    data_root=vqa_data_root,
    ann_file='vqa/karpathy_test.json',
    annotations='vqa/v2_mscoco_val2014_annotations.json',
    test_mode=True,
    pipeline=vqa_test_pipeline,
)
# The official figure, and beside it that of VL-T5's evaluator, which VL-PET's paper reports.
vqa_val_evaluator = [dict(type='VQAMetric'), dict(type='VQAMetric', rule='vlt5', prefix='vlt5')]
vqa_test_evaluator = vqa_val_evaluator
