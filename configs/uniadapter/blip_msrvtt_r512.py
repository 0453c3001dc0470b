# As blip_msrvtt.py with the bottleneck of the released image configs.
_base_ = './blip_msrvtt.py'
model = dict(adapter=dict(bottleneck=512))
