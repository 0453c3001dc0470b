# Transfer: as epalm_opt-2.7b_vit-b_gqa.py, tested on VQA v2.
_base_ = [
    '../_base_/models/epalm_opt-2.7b_vit-b.py',
    '../_base_/datasets/epalm_gqa_to_vqav2.py',
    '../_base_/schedules/epalm_8e.py',
    '../_base_/seq2seq_runtime.py',
]
