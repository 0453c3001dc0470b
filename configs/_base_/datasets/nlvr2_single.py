# NLVR2 alone, with the release's batch size for BART.
_base_ = ['./nlvr2.py', './seq2seq_loaders.py']
train_dataloader = dict(batch_size=166, dataset={{_base_.nlvr2_train_set}})
val_dataloader = dict(batch_size=166, dataset={{_base_.nlvr2_val_set}})
test_dataloader = dict(batch_size=166, dataset={{_base_.nlvr2_test_set}})
val_evaluator = {{_base_.nlvr2_val_evaluator}}
test_evaluator = {{_base_.nlvr2_test_evaluator}}
