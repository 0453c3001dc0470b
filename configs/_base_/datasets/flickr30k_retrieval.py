# Flickr30K image-text retrieval on Karpathy's splits (29,000 / 1,014 / 1,000 images) at 384 px, from BLIP's files:
#   data/flickr30k/{flickr30k_train.json, flickr30k_val.json, flickr30k_test.json, flickr30k-images/}
# Karpathy's single file instead: dataset=dict(ann_file='dataset_flickr30k.json', split='train') (docs/data.md).
_base_ = './coco_retrieval.py'
data_root = 'data/flickr30k/'
train_dataloader = dict(dataset=dict(data_root=data_root, ann_file='flickr30k_train.json'))
val_dataloader = dict(dataset=dict(data_root=data_root, ann_file='flickr30k_val.json'))
test_dataloader = dict(dataset=dict(data_root=data_root, ann_file='flickr30k_test.json'))
