# LoRA of rank 32 on queries and values of every self-attention: as many parameters as UniAdapter.
_base_ = './_staged_.py'
model = dict(adapter=dict(type='LoRA', rank=32, targets=dict(kinds=['self_attn'], linears=['q', 'v'])))
