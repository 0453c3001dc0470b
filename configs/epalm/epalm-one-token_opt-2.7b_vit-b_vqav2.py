# As epalm_opt-2.7b_vit-b_vqav2.py with a soft prompt of one token.
_base_ = './epalm_opt-2.7b_vit-b_vqav2.py'
model = dict(adapter=dict(prompt_length=1))
