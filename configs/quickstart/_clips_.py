# The adaptation to clips that every method shares, from the small base that vlpeft brings.
_base_ = './_base_.py'
model = dict(base_checkpoint=dict(source='blip_tiny'))
optim_wrapper = dict(optimizer=dict(lr=1e-2), clip_grad=dict(max_norm=1.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', T_max=3, by_epoch=True, begin=0, end=3, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=3, val_interval=100)  # the test follows at once
