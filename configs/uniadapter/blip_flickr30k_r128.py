# As blip_flickr30k.py with bottleneck 128.
_base_ = './blip_flickr30k.py'
model = dict(adapter=dict(bottleneck=128))
