# VL-PET large on BART-base, GQA alone.
_base_ = [
    '../_base_/models/vl_bart.py',
    '../_base_/datasets/gqa.py',
    '../_base_/datasets/seq2seq_loaders.py',
    '../_base_/schedules/adamw_linear_20e.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(
    trainable=['heads', dict(parts='norms', towers=['encoder'])],
    adapter=dict(type='VLPET', granularity='large', bottleneck=96, heads=4, value_bottleneck=96),
)
train_dataloader = dict(batch_size=833, dataset={{_base_.gqa_train_set}})
val_dataloader = dict(batch_size=500, dataset={{_base_.gqa_val_set}})
test_dataloader = dict(batch_size=500, dataset={{_base_.gqa_test_set}})
val_evaluator = {{_base_.gqa_val_evaluator}}
test_evaluator = {{_base_.gqa_test_evaluator}}
