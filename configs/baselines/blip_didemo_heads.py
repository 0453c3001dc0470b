# Projections and matching head only, otherwise as UniAdapter's DiDeMo recipe.
_base_ = '../uniadapter/blip_didemo.py'
model = dict(adapter=None, trainable='heads')
