# As blip_vqav2.py with bottleneck 128.
_base_ = './blip_vqav2.py'
model = dict(adapter=dict(bottleneck=128))
