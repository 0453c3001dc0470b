# The base of the study: both pretrained towers, new cross-attentions and new heads, trained on emoji and their names.
_base_ = './_model_.py'
model = dict(
    trainable='all',
    base_checkpoint=dict(
        vision=dict(source='data/evidence/models/vit-s/model.safetensors'),
        text=dict(source='data/evidence/models/minilm/model.safetensors'),
    ),
)
data_root = 'data/evidence/emoji/'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
optim_wrapper = dict(optimizer=dict(lr=1e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=40),
    dict(type='CosineAnnealingLR', T_max=8, eta_min=0, by_epoch=True, begin=0, end=8, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=8, val_interval=4)
