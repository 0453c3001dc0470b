# eP-ALM with OPT-2.7B and TimeSformer-B, MSVD-QA, 4 GPUs x 8 questions.
_base_ = [
    '../_base_/models/epalm_opt-2.7b_timesformer.py',
    '../_base_/datasets/epalm_msvd_qa.py',
    '../_base_/schedules/epalm_8e.py',
    '../_base_/seq2seq_runtime.py',
]
param_scheduler = dict(end=26)
train_cfg = dict(max_epochs=26)
