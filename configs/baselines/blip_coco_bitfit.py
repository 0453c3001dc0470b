# BitFit: offsets of the biases of all blocks and norms, otherwise as UniAdapter's COCO recipe.
_base_ = '../uniadapter/blip_coco.py'
model = dict(adapter=dict(_delete_=True, type='BitFit', targets=dict()))
