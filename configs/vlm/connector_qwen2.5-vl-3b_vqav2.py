# The connector alone, in place. Its rate is that of LLaVA-1.5's projector beside LoRA; otherwise as the recipe of LoRA.
_base_ = './lora_qwen2.5-vl-3b_vqav2.py'
model = dict(adapter=None, trainable=['connectors'])
optim_wrapper = dict(optimizer=dict(lr=2e-5))
