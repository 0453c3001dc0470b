# AudioCaps alone, with the release's batch sizes.
_base_ = ['./audiocaps.py', './seq2seq_loaders.py']
train_dataloader = dict(batch_size=8, dataset={{_base_.caption_train_set}})
val_dataloader = dict(batch_size=64, dataset={{_base_.caption_val_set}})
test_dataloader = dict(batch_size=64, dataset={{_base_.caption_test_set}})
val_evaluator = {{_base_.caption_val_evaluator}}
test_evaluator = {{_base_.caption_test_evaluator}}
