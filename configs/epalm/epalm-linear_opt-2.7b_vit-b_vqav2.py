# As epalm_opt-2.7b_vit-b_vqav2.py without a soft prompt: the connectors alone.
_base_ = './epalm_opt-2.7b_vit-b_vqav2.py'
model = dict(adapter=dict(prompt_length=0))
