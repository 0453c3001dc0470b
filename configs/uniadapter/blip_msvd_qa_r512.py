# As blip_msvd_qa.py with bottleneck 512.
_base_ = './blip_msvd_qa.py'
model = dict(adapter=dict(bottleneck=512))
