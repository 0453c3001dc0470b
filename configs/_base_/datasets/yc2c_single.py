# YC2C alone, with the release's batch size for BART.
_base_ = ['./yc2c.py', './seq2seq_loaders.py']
train_dataloader = dict(batch_size=50, dataset={{_base_.yc2c_train_set}})
val_dataloader = dict(batch_size=50, dataset={{_base_.yc2c_val_set}})
test_dataloader = dict(batch_size=50, dataset={{_base_.yc2c_test_set}})
val_evaluator = {{_base_.yc2c_val_evaluator}}
test_evaluator = {{_base_.yc2c_test_evaluator}}
