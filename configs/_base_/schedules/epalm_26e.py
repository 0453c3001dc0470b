# eP-ALM on videos: 26 epochs.
_base_ = './epalm_8e.py'
param_scheduler = dict(end=26)
train_cfg = dict(max_epochs=26)
