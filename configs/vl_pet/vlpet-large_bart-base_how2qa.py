# VL-PET large on BART-base, How2QA alone.
_base_ = [
    '../_base_/models/vl_bart_video.py',
    '../_base_/datasets/value_questions.py',
    '../_base_/datasets/seq2seq_loaders.py',
    '../_base_/schedules/adamw_linear_20e.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(
    trainable=['heads', dict(parts='norms', towers=['encoder'])],
    adapter=dict(type='VLPET', granularity='large', bottleneck=96, heads=4, value_bottleneck=96),
)
optim_wrapper = dict(optimizer=dict(lr=7e-4))
train_dataloader = dict(batch_size=50, dataset={{_base_.how2qa_train_set}})
val_dataloader = dict(batch_size=50, dataset={{_base_.how2qa_val_set}})
test_dataloader = dict(batch_size=50, dataset={{_base_.how2qa_test_set}})
val_evaluator = {{_base_.how2qa_val_evaluator}}
test_evaluator = {{_base_.how2qa_test_evaluator}}
