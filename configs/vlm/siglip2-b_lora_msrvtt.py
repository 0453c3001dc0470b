# LoRA of rank 16 on the queries and values of both towers of SigLIP 2, MSR-VTT 9k / 1k-A, 8 frames, 8 GPUs x 8 clips.
_base_ = [
    '../_base_/datasets/msrvtt_retrieval.py',
    '../_base_/schedules/adamw_cosine_5e.py',
    '../_base_/default_runtime.py',
    '../_base_/models/siglip2-b.py',
]
model = dict(adapter=dict(type='LoRA', rank=16, targets=dict(kinds=['self_attn'], linears=['q', 'v'])))
val_cfg = dict(k_test=0)
test_cfg = dict(k_test=0)
