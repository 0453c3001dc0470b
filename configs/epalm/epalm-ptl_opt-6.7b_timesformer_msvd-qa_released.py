# eP-ALM_pt-L on MSVD-QA, whose figure is published and whose settings are not (docs/reproducing.md): the
# released ways, the rates of the released pt-L recipes, and batches and epochs of OPT-2.7B's released recipe.
_base_ = [
    '../_base_/models/epalm-ptl_opt-6.7b_timesformer.py',
    '../_base_/datasets/epalm_msvd_qa_released.py',
    '../_base_/schedules/epalm_35e_qa_released.py',
    '../_base_/seq2seq_runtime.py',
]
model = {{_base_.released}}
param_scheduler = dict(end=26)
train_cfg = dict(max_epochs=26)
