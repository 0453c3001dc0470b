# VL-PET's: the rate rises over the first tenth of the steps and falls to zero at the end of the run, however long.
# Norm weights are decayed, as released.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='TrainableOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01),
    clip_grad=dict(max_norm=5),
    paramwise_cfg=dict(bias_decay_mult=0.0),
)
param_scheduler = dict(type='WarmupLinear', warmup_ratio=0.1, by_epoch=True, convert_to_iter_based=True)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=20, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
