# How2QA alone, with the release's batch size for BART.
_base_ = ['./how2qa.py', './seq2seq_loaders.py']
train_dataloader = dict(batch_size=50, dataset={{_base_.how2qa_train_set}})
val_dataloader = dict(batch_size=50, dataset={{_base_.how2qa_val_set}})
test_dataloader = dict(batch_size=50, dataset={{_base_.how2qa_test_set}})
val_evaluator = {{_base_.how2qa_val_evaluator}}
test_evaluator = {{_base_.how2qa_test_evaluator}}
