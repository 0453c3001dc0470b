# epalm_opt-2.7b_timesformer_msvd-qa.py as released (docs/reproducing.md): 4 GPUs x 8 questions.
_base_ = [
    '../_base_/models/epalm_opt-2.7b_timesformer.py',
    '../_base_/datasets/epalm_msvd_qa_released.py',
    '../_base_/schedules/epalm_26e_qa_released.py',
    '../_base_/seq2seq_runtime.py',
]
model = {{_base_.released}}
