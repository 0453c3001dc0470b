# As gqa.py, with whole images at 224 px for a vision tower that runs online:
#   data/vlpet/GQA/images/2354786.jpg …
_base_ = './gqa.py'
gqa_train_pipeline = [dict(type='LoadImages', size=224), *_base_.gqa_train_pipeline[1:]]
gqa_test_pipeline = [dict(type='LoadImages', size=224), *_base_.gqa_test_pipeline[1:]]
gqa_train_set = dict(
    datasets=[
        dict(part, data_prefix=dict(media='GQA/images'), pipeline=gqa_train_pipeline)
        for part in _base_.gqa_train_set.datasets
    ]
)
gqa_val_set = dict(data_prefix=dict(media='GQA/images'), pipeline=gqa_test_pipeline)
gqa_test_set = gqa_val_set
