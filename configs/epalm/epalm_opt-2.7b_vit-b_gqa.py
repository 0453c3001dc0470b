# eP-ALM with OPT-2.7B and ViT-B/16, GQA, 4 GPUs x 64 questions.
_base_ = [
    '../_base_/models/epalm_opt-2.7b_vit-b.py',
    '../_base_/datasets/epalm_gqa.py',
    '../_base_/schedules/epalm_8e.py',
    '../_base_/seq2seq_runtime.py',
]
