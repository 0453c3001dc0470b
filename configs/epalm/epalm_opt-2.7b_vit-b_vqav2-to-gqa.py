# Transfer: as epalm_opt-2.7b_vit-b_vqav2.py, tested on GQA.
_base_ = [
    '../_base_/models/epalm_opt-2.7b_vit-b.py',
    '../_base_/datasets/epalm_vqav2_to_gqa.py',
    '../_base_/schedules/epalm_8e.py',
    '../_base_/seq2seq_runtime.py',
]
