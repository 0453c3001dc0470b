# eP-ALM on sounds: 30 epochs.
_base_ = './epalm_8e.py'
param_scheduler = dict(end=30)
train_cfg = dict(max_epochs=30)
