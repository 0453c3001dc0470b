# As vqa_karpathy.py, with whole images at 224 px for a vision tower that runs online:
#   data/vlpet/COCO/images/{train2014,val2014}/COCO_val2014_000000000042.jpg …
_base_ = './vqa_karpathy.py'
vqa_train_pipeline = [dict(type='LoadImages', size=224), *_base_.vqa_train_pipeline[1:]]
vqa_test_pipeline = [dict(type='LoadImages', size=224), *_base_.vqa_test_pipeline[1:]]
vqa_train_set = dict(data_prefix=dict(media='COCO/images'), pipeline=vqa_train_pipeline)
vqa_val_set = dict(data_prefix=dict(media='COCO/images'), pipeline=vqa_test_pipeline)
vqa_test_set = dict(data_prefix=dict(media='COCO/images'), pipeline=vqa_test_pipeline)
