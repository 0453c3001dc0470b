# GQA (943,000 / 132,062 / 12,578 questions) for eP-ALM, from VL-T5's files and the images (docs/data.md):
#   data/epalm/GQA/{train.json, valid.json, testdev.json}
#   data/epalm/VG/VG_100K/2354786.jpg …     images of train and valid
#   data/epalm/GQA/images/n161313.jpg …     images of testdev
_base_ = './epalm_clips.py'
data_root = 'data/epalm/'
# Questions end with a question mark already, so the released prompts have two.
question_text = dict(type='ComposeText', template='{question}?</a>')
pack = dict(type='PackSample', task='gqa')
train_pipeline = [*_base_.image_train, dict(type='DrawTarget'), question_text, pack]
test_pipeline = [*_base_.image_test, question_text, pack]
train_dataloader = dict(
    batch_size=64,
    dataset=dict(
        type='GQA',
        data_root=data_root,
        ann_file='GQA/train.json',
        data_prefix=dict(media='VG/VG_100K'),
        pipeline=train_pipeline,
    ),
)
# A tenth of valid is enough to choose an epoch by; the release takes all of it.
val_dataloader = dict(
    batch_size=128,
    dataset=dict(
        type='GQA',
        data_root=data_root,
        ann_file='GQA/valid.json',
        data_prefix=dict(media='VG/VG_100K'),
        fraction=0.1,
        seed=0,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=128,
    dataset=dict(
        type='GQA',
        data_root=data_root,
        ann_file='GQA/testdev.json',
        data_prefix=dict(media='GQA/images'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(type='LabelScoreMetric', normalise='vqa')
test_evaluator = val_evaluator
# The rate belongs to 64 images on each of 4 GPUs.
auto_scale_lr = dict(enable=False, base_batch_size=256)
