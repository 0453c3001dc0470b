# The four image tasks from whole images at 224 px instead of stored features, for a vision tower in the model:
#   data/vlpet/COCO/images/{train2014,val2014}/COCO_val2014_000000000042.jpg …
#   data/vlpet/GQA/images/2354786.jpg …
#   data/vlpet/nlvr/images/{train/34/train-10171-0-img0.png, dev/dev-850-0-img0.png, test1/…} …
_base_ = ['./vqa_karpathy.py', './gqa.py', './nlvr2.py', './coco_caption.py']
load = dict(type='LoadImages', size=224)
coco_images = dict(media='COCO/images')
gqa_images = dict(media='GQA/images')
nlvr2_images = dict(media='nlvr/images')
vqa_train_pipeline = [load, *_base_.vqa_train_pipeline[1:]]
vqa_test_pipeline = [load, *_base_.vqa_test_pipeline[1:]]
gqa_train_pipeline = [load, *_base_.gqa_train_pipeline[1:]]
gqa_test_pipeline = [load, *_base_.gqa_test_pipeline[1:]]
nlvr2_train_pipeline = [load, *_base_.nlvr2_train_pipeline[1:]]
nlvr2_test_pipeline = [load, *_base_.nlvr2_test_pipeline[1:]]
caption_train_pipeline = [load, *_base_.caption_train_pipeline[1:]]
caption_test_pipeline = [load, *_base_.caption_test_pipeline[1:]]

vqa_train_set = dict(data_prefix=coco_images, pipeline=vqa_train_pipeline)
vqa_val_set = dict(data_prefix=coco_images, pipeline=vqa_test_pipeline)
vqa_test_set = dict(data_prefix=coco_images, pipeline=vqa_test_pipeline)
gqa_train_set = dict(
    datasets=[dict(part, data_prefix=gqa_images, pipeline=gqa_train_pipeline) for part in _base_.gqa_train_set.datasets]
)
gqa_val_set = dict(data_prefix=gqa_images, pipeline=gqa_test_pipeline)
gqa_test_set = gqa_val_set
nlvr2_train_set = dict(data_prefix=nlvr2_images, pipeline=nlvr2_train_pipeline)
nlvr2_val_set = dict(data_prefix=nlvr2_images, pipeline=nlvr2_test_pipeline)
nlvr2_test_set = dict(data_prefix=nlvr2_images, pipeline=nlvr2_test_pipeline)
caption_train_set = dict(data_prefix=coco_images, pipeline=caption_train_pipeline)
caption_val_set = dict(data_prefix=coco_images, pipeline=caption_test_pipeline)
caption_test_set = dict(data_prefix=coco_images, pipeline=caption_test_pipeline)
