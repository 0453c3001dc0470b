# Released audio captioning, see epalm_8e_caption_released.py.
_base_ = './epalm_8e_caption_released.py'
param_scheduler = dict(end=30)
train_cfg = dict(max_epochs=30)
