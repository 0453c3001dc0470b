# The base: everything trained from scratch on stills.
_base_ = './_base_.py'
model = dict(trainable='all')
data_root = 'data/quickstart/stills/'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root, ann_file='test.jsonl'))
test_dataloader = dict(dataset=dict(data_root=data_root))
optim_wrapper = dict(optimizer=dict(lr=1e-3), clip_grad=dict(max_norm=1.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=150),
    dict(type='CosineAnnealingLR', T_max=5, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=5, val_interval=100)
