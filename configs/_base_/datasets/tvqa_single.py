# TVQA alone, with the release's batch size for BART.
_base_ = ['./tvqa.py', './seq2seq_loaders.py']
train_dataloader = dict(batch_size=50, dataset={{_base_.tvqa_train_set}})
val_dataloader = dict(batch_size=50, dataset={{_base_.tvqa_val_set}})
test_dataloader = dict(batch_size=50, dataset={{_base_.tvqa_test_set}})
val_evaluator = {{_base_.tvqa_val_evaluator}}
test_evaluator = {{_base_.tvqa_test_evaluator}}
