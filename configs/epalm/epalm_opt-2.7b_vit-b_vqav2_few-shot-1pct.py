# eP-ALM with OPT-2.7B and ViT-B/16, 1 % of VQA v2.
_base_ = [
    '../_base_/models/epalm_opt-2.7b_vit-b.py',
    '../_base_/datasets/epalm_vqav2_few_shot.py',
    '../_base_/schedules/epalm_8e.py',
    '../_base_/seq2seq_runtime.py',
]
