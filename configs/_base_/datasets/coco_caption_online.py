# As coco_caption.py, with whole images at 224 px for a vision tower that runs online:
#   data/vlpet/COCO/images/{train2014,val2014}/COCO_val2014_000000000042.jpg …
_base_ = './coco_caption.py'
caption_train_pipeline = [dict(type='LoadImages', size=224), *_base_.caption_train_pipeline[1:]]
caption_test_pipeline = [dict(type='LoadImages', size=224), *_base_.caption_test_pipeline[1:]]
caption_train_set = dict(data_prefix=dict(media='COCO/images'), pipeline=caption_train_pipeline)
caption_val_set = dict(data_prefix=dict(media='COCO/images'), pipeline=caption_test_pipeline)
caption_test_set = dict(data_prefix=dict(media='COCO/images'), pipeline=caption_test_pipeline)
