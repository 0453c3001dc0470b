# blip_flickr30k.py as released, see blip_coco_released.py.
_base_ = './blip_flickr30k.py'
model = dict(adapter=dict(train_cross_norm=False), momentum=dict(adapter_decay=0.995**2))
