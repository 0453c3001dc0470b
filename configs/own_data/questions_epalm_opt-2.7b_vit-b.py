# Own questions answered by eP-ALM, OPT-2.7B with ViT-B/16, from data/own/{train,test}.jsonl.
_base_ = [
    '../_base_/models/epalm_opt-2.7b_vit-b.py',
    '../_base_/datasets/epalm_jsonl_qa.py',
    '../_base_/schedules/epalm_8e.py',
    '../_base_/seq2seq_runtime.py',
]
default_hooks = dict(checkpoint=dict(save_best='open_ended/accuracy'))
