# The control: eP-ALM with a random encoder.
_base_ = './epalm.py'
model = dict(base_checkpoint=dict(encoder=None))
