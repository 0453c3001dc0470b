# The adaptation to Tux Paint's stamps that all methods share: four epochs of 464 pictures, one caption each.
_base_ = './_model_.py'
model = dict(base_checkpoint=dict(source='work_dirs/evidence/retrieval/base/epoch_8.pth'))
data_root = 'data/evidence/stamps/'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=14),
    dict(type='CosineAnnealingLR', T_max=4, eta_min=0, by_epoch=True, begin=0, end=4, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=4, val_interval=2)
# The match logit beside the similarity at about its trained temperature, 1 / 20: from so few pairs matching learns
# little, and would rank the first 16 at random.
val_cfg = dict(beta=20.0)
test_cfg = dict(beta=20.0)
