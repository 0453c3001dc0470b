# What the runs of captions and of questions share: schedule, rate, and that nothing is chosen by a validation.
_base_ = ['../_base_/schedules/adamw_linear_20e.py', '../_base_/seq2seq_runtime.py']
optim_wrapper = dict(optimizer=dict(lr=5e-3))
default_hooks = dict(checkpoint=dict(save_best=None))
