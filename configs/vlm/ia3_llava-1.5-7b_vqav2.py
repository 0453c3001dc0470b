# IA3 in the language model: a scale for each key, value and hidden unit. Its rate is the method's, in PEFT's examples;
# otherwise as the recipe of LoRA.
_base_ = './lora_llava-1.5-7b_vqav2.py'
model = dict(adapter=dict(_delete_=True, type='IA3', targets=dict(towers=['lm'])))
optim_wrapper = dict(optimizer=dict(lr=3e-3))
