# eP-ALM_pt-L with OPT-6.7B: ten times the rates, the soft prompt, a bare table, at 1e-3; 35 epochs.
_base_ = './epalm_8e.py'
optim_wrapper = dict(optimizer=dict(lr=2e-4), paramwise_cfg=dict(custom_keys=dict(prompt=dict(lr_mult=5.0))))
param_scheduler = dict(warmup_lr=1e-4, min_lr=1e-5, end=35)
train_cfg = dict(max_epochs=35)
