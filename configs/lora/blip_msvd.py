# LoRA of rank 16 on the queries and values of every self-attention, otherwise as UniAdapter's MSVD recipe.
_base_ = '../uniadapter/blip_msvd.py'
model = dict(adapter=dict(_delete_=True, type='LoRA', rank=16, targets=dict(kinds=['self_attn'], linears=['q', 'v'])))
