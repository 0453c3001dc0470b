# As connector.py, with LoRA of rank 16 on queries and values of the language model.
_base_ = './connector.py'
model = dict(adapter=[dict(type='LoRA', rank=16, targets=dict(towers=['lm'], kinds=['self_attn'], linears=['q', 'v']))])
