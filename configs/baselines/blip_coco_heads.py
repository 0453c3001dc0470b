# Projections and matching head only, otherwise as UniAdapter's COCO recipe.
_base_ = '../uniadapter/blip_coco.py'
model = dict(adapter=None, trainable='heads')
