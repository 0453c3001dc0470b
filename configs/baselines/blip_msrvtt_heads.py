# Projections and matching head only, otherwise as UniAdapter's MSR-VTT recipe.
_base_ = '../uniadapter/blip_msrvtt.py'
model = dict(adapter=None, trainable='heads')
