# Own clips or images found by text: LoRA (r = 16) on SigLIP 2 base, from data/own/{train,test}.jsonl.
_base_ = [
    '../_base_/datasets/jsonl_retrieval.py',
    '../_base_/schedules/adamw_cosine_5e.py',
    '../_base_/default_runtime.py',
    '../_base_/models/siglip2-b.py',
]
model = dict(adapter=dict(type='LoRA', rank=16, targets=dict(kinds=['self_attn'], linears=['q', 'v'])))
val_cfg = dict(k_test=0)
test_cfg = dict(k_test=0)
