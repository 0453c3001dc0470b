# BitFit: every bias trains, otherwise as UniAdapter's MSR-VTT recipe.
_base_ = '../uniadapter/blip_msrvtt.py'
model = dict(adapter=None, trainable=['heads', dict(parts='biases')])
