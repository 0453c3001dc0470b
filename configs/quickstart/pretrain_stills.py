# How the base `blip_tiny` was made (tools/quickstart/pretrain_base.sh): all trained from scratch on drawn stills.
_base_ = './_base_.py'
model = dict(trainable='all', momentum=dict(decay=0.99))
data_root = 'data/pretrain_base/stills/'
train_dataloader = dict(batch_size=64, dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root, ann_file='test.jsonl'))
test_dataloader = dict(dataset=dict(data_root=data_root))
optim_wrapper = dict(optimizer=dict(lr=1e-3), clip_grad=dict(max_norm=1.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=300),
    dict(type='CosineAnnealingLR', T_max=3, eta_min=1e-5, by_epoch=True, begin=0, end=3, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=3, val_interval=1)
