# DoRA on BART-base, four image tasks at once, otherwise as LoRA.
_base_ = './bart-base_image_lora.py'
model = dict(adapter=dict(type='DoRA'))
