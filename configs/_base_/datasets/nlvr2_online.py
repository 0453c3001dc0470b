# As nlvr2.py, with whole images at 224 px for a vision tower that runs online:
#   data/vlpet/nlvr/images/{train/34/train-10171-0-img0.png, dev/dev-850-0-img0.png, test1/…} …
_base_ = './nlvr2.py'
nlvr2_train_pipeline = [dict(type='LoadImages', size=224), *_base_.nlvr2_train_pipeline[1:]]
nlvr2_test_pipeline = [dict(type='LoadImages', size=224), *_base_.nlvr2_test_pipeline[1:]]
nlvr2_train_set = dict(data_prefix=dict(media='nlvr/images'), pipeline=nlvr2_train_pipeline)
nlvr2_val_set = dict(data_prefix=dict(media='nlvr/images'), pipeline=nlvr2_test_pipeline)
nlvr2_test_set = dict(data_prefix=dict(media='nlvr/images'), pipeline=nlvr2_test_pipeline)
