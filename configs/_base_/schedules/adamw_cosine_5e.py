optim_wrapper = dict(
    type='OptimWrapper',
    constructor='TrainableOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
)

# One step per epoch, as released: the rate is constant within an epoch.
param_scheduler = dict(
    type='CosineAnnealingLR', T_max=5, eta_min=0, begin=0, end=5, by_epoch=True, convert_to_iter_based=False
)

# lr belongs to 8 clips on each of 8 GPUs.
auto_scale_lr = dict(enable=False, base_batch_size=64)

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=5, val_interval=1)
val_cfg = dict(type='RetrievalValLoop', k_test=128)
test_cfg = dict(type='RetrievalTestLoop', k_test=128)
