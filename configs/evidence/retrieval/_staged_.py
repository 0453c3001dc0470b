# The adaptation that all methods share, to staged stamps: 464 of Tux Paint's stamps on six grounds each, some upside
# down, some grey. Captions say how and then what, and are cut behind ten words.
_base_ = './_model_.py'
model = dict(base_checkpoint=dict(source='work_dirs/evidence/retrieval/base/epoch_8.pth'))
data_root = 'data/evidence/staged_stamps/'
caption = [dict(type='CleanText', max_words=10), dict(type='PackSample')]
train_pipeline = [*_base_.train_pipeline[:3], *caption]
test_pipeline = [*_base_.test_pipeline[:2], *caption]
train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', T_max=1, eta_min=0, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=1, val_interval=1)
# The match logit beside the similarity at about its trained temperature, 1 / 20: from so few pairs matching learns
# little, and would rank the first 16 at random.
val_cfg = dict(beta=20.0)
test_cfg = dict(beta=20.0)
