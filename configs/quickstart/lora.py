# LoRA on queries and values of all attentions.
_base_ = './_clips_.py'
model = dict(adapter=dict(type='LoRA', rank=8, targets=dict(kinds=['self_attn', 'cross_attn'], linears=['q', 'v'])))
