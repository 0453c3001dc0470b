# vlpet-large_bart-base_image.py as released (docs/reproducing.md): AdamW of transformers 4.2, an order of samples and
# tasks that does not follow the run's seed, and the figures of the last epoch.
_base_ = './vlpet-large_bart-base_image.py'
train_dataloader = dict(sampler=dict(seed=0))
optim_wrapper = dict(optimizer=dict(type='HFAdamW'))
default_hooks = dict(checkpoint=dict(save_best=None))
