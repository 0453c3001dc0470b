# As smollm2-135m_vit-b_vqav2_connector.py with an MLP as in LLaVA, and LoRA of rank 16 on queries and values.
_base_ = './smollm2-135m_vit-b_vqav2_connector.py'
model = dict(
    adapter=[dict(type='LoRA', rank=16, targets=dict(towers=['lm'], kinds=['self_attn'], linears=['q', 'v']))],
    connector=dict(hidden=576),
)
