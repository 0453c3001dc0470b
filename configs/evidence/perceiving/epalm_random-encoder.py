# The control: eP-ALM with a random encoder.
_base_ = './epalm.py'
model = dict(base_checkpoint=dict(_delete_=True, lm={{_base_.model.base_checkpoint.lm}}))
