# VQA v2 alone, with the release's batch size for BART.
_base_ = ['./vqa_karpathy.py', './seq2seq_loaders.py']
train_dataloader = dict(batch_size=500, dataset={{_base_.vqa_train_set}})
val_dataloader = dict(batch_size=500, dataset={{_base_.vqa_val_set}})
test_dataloader = dict(batch_size=500, dataset={{_base_.vqa_test_set}})
val_evaluator = {{_base_.vqa_val_evaluator}}
test_evaluator = {{_base_.vqa_test_evaluator}}
