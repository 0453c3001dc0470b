# As blip_coco.py with bottleneck 128.
_base_ = './blip_coco.py'
model = dict(adapter=dict(bottleneck=128))
