# BitFit: every bias trains, otherwise as UniAdapter's MSRVTT-QA recipe.
_base_ = '../uniadapter/blip_msrvtt_qa.py'
model = dict(adapter=None, trainable=['heads', dict(parts='biases')])
