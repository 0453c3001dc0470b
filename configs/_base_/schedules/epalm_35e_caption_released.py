# Released pt-L captioning, see epalm_8e_caption_released.py.
_base_ = './epalm_8e_caption_released.py'
optim_wrapper = dict(optimizer=dict(lr=2e-4))
param_scheduler = dict(warmup_lr=1e-4, min_lr=1e-5, end=35)
train_cfg = dict(max_epochs=35)
