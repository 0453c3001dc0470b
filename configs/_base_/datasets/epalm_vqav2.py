# VQA v2 on Karpathy's splits (605,102 / 26,729 / 26,280 questions) for eP-ALM, from VL-T5's files and the images
# (docs/data.md):
#   data/epalm/vqa/{karpathy_train.json, karpathy_val.json, karpathy_test.json, v2_mscoco_val2014_annotations.json}
#   data/epalm/COCO/images/{train2014,val2014}/COCO_val2014_000000000042.jpg …
_base_ = './epalm_clips.py'
data_root = 'data/epalm/'
images = dict(media='COCO/images')
# Questions end with a question mark already, so the released prompts have two (docs/data.md: one).
question_text = dict(type='ComposeText', template='{question}?</a>')
pack = dict(type='PackSample', task='vqa')
train_pipeline = [*_base_.image_train, dict(type='DrawTarget'), question_text, pack]
test_pipeline = [*_base_.image_test, question_text, pack]
train_dataloader = dict(
    batch_size=64,
    dataset=dict(
        type='VQAv2',
        data_root=data_root,
        ann_file='vqa/karpathy_train.json',
        data_prefix=images,
        pipeline=train_pipeline,
    ),
)
# Images of both splits are from COCO's val2014.
val_dataloader = dict(
    batch_size=64,
    dataset=dict(
        type='VQAv2',
        data_root=data_root,
        ann_file='vqa/karpathy_val.json',
        annotations='vqa/v2_mscoco_val2014_annotations.json',
        data_prefix=images,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=64,
    dataset=dict(
        type='VQAv2',
        data_root=data_root,
        ann_file='vqa/karpathy_test.json',
        annotations='vqa/v2_mscoco_val2014_annotations.json',
        data_prefix=images,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
# The official figure, and beside it that of VL-T5's evaluator, which eP-ALM's paper reports.
val_evaluator = [dict(type='VQAMetric'), dict(type='VQAMetric', rule='vlt5', prefix='vlt5')]
test_evaluator = val_evaluator
# The rate belongs to 64 images on each of 4 GPUs.
auto_scale_lr = dict(enable=False, base_batch_size=256)
