# Full fine-tuning, otherwise as UniAdapter's Flickr30K recipe.
_base_ = '../uniadapter/blip_flickr30k.py'
model = dict(adapter=None, trainable='all')
