# As blip_didemo.py with bottleneck 512.
_base_ = './blip_didemo.py'
model = dict(adapter=dict(bottleneck=512))
