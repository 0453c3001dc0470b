# VL-PET large on BART-base, YC2C alone.
_base_ = [
    '../_base_/models/vl_bart_video.py',
    '../_base_/datasets/value_captions.py',
    '../_base_/datasets/seq2seq_loaders.py',
    '../_base_/schedules/adamw_linear_20e.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(
    trainable=['heads', dict(parts='norms', towers=['encoder'])],
    adapter=dict(type='VLPET', granularity='large', bottleneck=96, heads=4, value_bottleneck=96),
)
optim_wrapper = dict(optimizer=dict(lr=7e-4))
default_hooks = dict(checkpoint=dict(save_best='caption/CIDEr'))
train_dataloader = dict(batch_size=50, dataset={{_base_.yc2c_train_set}})
val_dataloader = dict(batch_size=50, dataset={{_base_.yc2c_val_set}})
test_dataloader = dict(batch_size=50, dataset={{_base_.yc2c_test_set}})
val_evaluator = {{_base_.yc2c_val_evaluator}}
test_evaluator = {{_base_.yc2c_test_evaluator}}
