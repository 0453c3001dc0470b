# A bottleneck adapter (r = 128) after every sub-layer of every tower, otherwise as UniAdapter's COCO recipe.
_base_ = '../uniadapter/blip_coco.py'
model = dict(adapter=dict(_delete_=True, type='Bottleneck', bottleneck=128, targets=dict()))
