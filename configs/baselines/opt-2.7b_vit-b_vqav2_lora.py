# LoRA of rank 16 on queries and values of OPT-2.7B, beside eP-ALM's connectors, through which it perceives, and without
# its soft prompt; otherwise as eP-ALM.
_base_ = '../epalm/epalm-linear_opt-2.7b_vit-b_vqav2.py'
model = dict(
    adapter=[
        {{_base_.model.adapter}},
        dict(type='LoRA', rank=16, targets=dict(towers=['lm'], kinds=['self_attn'], linears=['q', 'v'])),
    ]
)
