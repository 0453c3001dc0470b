# BitFit: every bias trains, otherwise as UniAdapter's COCO recipe.
_base_ = '../uniadapter/blip_coco.py'
model = dict(adapter=None, trainable=['heads', dict(parts='biases')])
