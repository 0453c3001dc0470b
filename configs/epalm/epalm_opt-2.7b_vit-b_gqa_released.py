# epalm_opt-2.7b_vit-b_gqa.py as released (docs/reproducing.md): 4 GPUs x 64 questions.
_base_ = [
    '../_base_/models/epalm_opt-2.7b_vit-b.py',
    '../_base_/datasets/epalm_gqa_released.py',
    '../_base_/schedules/epalm_8e_qa_released.py',
    '../_base_/seq2seq_runtime.py',
]
model = {{_base_.released}}
