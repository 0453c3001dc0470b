# GQA alone, with the release's batch size for BART.
_base_ = ['./gqa.py', './seq2seq_loaders.py']
train_dataloader = dict(batch_size=833, dataset={{_base_.gqa_train_set}})
val_dataloader = dict(batch_size=500, dataset={{_base_.gqa_val_set}})
test_dataloader = dict(batch_size=500, dataset={{_base_.gqa_test_set}})
val_evaluator = {{_base_.gqa_val_evaluator}}
test_evaluator = {{_base_.gqa_test_evaluator}}
