# Projections and matching head only, otherwise as UniAdapter's Flickr30K recipe.
_base_ = '../uniadapter/blip_flickr30k.py'
model = dict(adapter=None, trainable='heads')
