# The control: eP-ALM with an encoder of random weights.
_base_ = './epalm.py'
model = dict(base_checkpoint=dict(encoder=dict(source=_base_.models + 'random-vit-s/model.safetensors')))
