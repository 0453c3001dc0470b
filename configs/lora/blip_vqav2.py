# LoRA of rank 16 on the queries and values of every self-attention, otherwise as UniAdapter's VQA v2 recipe.
_base_ = '../uniadapter/blip_vqav2.py'
model = dict(adapter=dict(_delete_=True, type='LoRA', rank=16, targets=dict(kinds=['self_attn'], linears=['q', 'v'])))
test_evaluator = dict(out_file='work_dirs/lora_blip_vqav2_submission.json')
