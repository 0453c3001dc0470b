# As blip_msvd.py with bottleneck 512.
_base_ = './blip_msvd.py'
model = dict(adapter=dict(bottleneck=512))
