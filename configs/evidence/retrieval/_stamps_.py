# The adaptation to Tux Paint's stamps that all methods share: 6 epochs of 464 pictures, one caption each.
_base_ = './_model_.py'
model = dict(base_checkpoint=dict(source='work_dirs/evidence/retrieval/base/epoch_8.pth'))
data_root = 'data/evidence/stamps/'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=14),
    dict(type='CosineAnnealingLR', T_max=6, eta_min=0, by_epoch=True, begin=0, end=6, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=6, val_interval=6)
