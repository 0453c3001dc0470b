# LoRA of rank 45 on queries and values of all attentions: as many parameters as VL-PET large.
_base_ = './_tasks_.py'
model = dict(adapter=dict(type='LoRA', rank=45, targets=dict(towers=['encoder', 'decoder'], linears=['q', 'v'])))
