# The adaptation to clips that every method shares, from the base trained on stills.
_base_ = './_base_.py'
model = dict(base_checkpoint=dict(source='work_dirs/quickstart/base.pth'))
optim_wrapper = dict(optimizer=dict(lr=1.5e-2), clip_grad=dict(max_norm=1.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type='CosineAnnealingLR', T_max=5, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=5, val_interval=100)  # the test follows at once
