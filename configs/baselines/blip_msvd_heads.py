# Projections and matching head only, otherwise as UniAdapter's MSVD recipe.
_base_ = '../uniadapter/blip_msvd.py'
model = dict(adapter=None, trainable='heads')
