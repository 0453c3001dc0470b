# eP-ALM with OPT-2.7B: connectors at 2e-5, the soft prompt at half of it. The rates start at 1e-5, are at their own
# after the first 400 iterations, and follow a cosine to 1e-6; both groups are scheduled, as the authors meant it.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='TrainableOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=2e-5, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.02),
    paramwise_cfg=dict(custom_keys=dict(prompt=dict(lr_mult=0.5))),
)
param_scheduler = dict(
    type='WarmupCosineLR', warmup_lr=1e-5, min_lr=1e-6, end=8, by_epoch=True, convert_to_iter_based=True
)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=8, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

# What released recipes change: the wiring of the released scripts, in their float16. Where a device lacks that:
# --cfg-options optim_wrapper.dtype=bfloat16 model.lm_dtype=bfloat16
# Question answering: the soft prompt keeps its rate.
released_questions = dict(
    type='MixedPrecisionOptimWrapper',
    dtype='float16',
    paramwise_cfg=dict(custom_keys=dict(prompt=dict(scheduled=False))),
)
# Captioning: the prompt has no rate of its own, matrices keep theirs, and biases alone are scheduled, without decay.
released_captions = dict(
    type='MixedPrecisionOptimWrapper',
    dtype='float16',
    paramwise_cfg=dict(
        custom_keys=dict(
            _delete_=True, weight=dict(scheduled=False), table=dict(scheduled=False), bias=dict(decay_mult=0.0)
        )
    ),
)
