# A bottleneck adapter (r = 64) after every attention and FFN of the language model, which starts at the base; otherwise
# as the recipe of LoRA.
_base_ = './lora_llava-1.5-7b_vqav2.py'
model = dict(adapter=dict(_delete_=True, type='Bottleneck', bottleneck=64, init='zero_up', targets=dict(towers=['lm'])))
