# Tuning on conversations: AdamW without decay, the rate rises over the first 3 % of the steps and falls to zero at the
# end of the run, however long. 1e-4 is what Qwen-VL's and LLaVA's scripts take for LoRA (1e-4 and 2e-4); untuned here.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='TrainableOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.0),
    clip_grad=dict(max_norm=1.0),
    accumulative_counts=4,
)
param_scheduler = dict(type='WarmupLinear', warmup_ratio=0.03, by_epoch=True, convert_to_iter_based=True)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
