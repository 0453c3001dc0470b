# VL-PET large on BART-base, VQA v2 alone, from the images themselves: a frozen CLIP ViT-B/16 computes the features.
_base_ = [
    '../_base_/models/vl_bart_online.py',
    '../_base_/datasets/image_tasks_online.py',
    '../_base_/datasets/seq2seq_loaders.py',
    '../_base_/schedules/adamw_linear_20e.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(
    trainable=['heads', dict(parts='norms', towers=['encoder'])],
    adapter=dict(type='VLPET', granularity='large', bottleneck=96, heads=4, value_bottleneck=96),
)
train_dataloader = dict(batch_size=100, dataset={{_base_.vqa_train_set}})
val_dataloader = dict(batch_size=100, dataset={{_base_.vqa_val_set}})
test_dataloader = dict(batch_size=100, dataset={{_base_.vqa_test_set}})
val_evaluator = {{_base_.vqa_val_evaluator}}
test_evaluator = {{_base_.vqa_test_evaluator}}
