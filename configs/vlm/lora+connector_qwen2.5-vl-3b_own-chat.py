# LoRA, and the connector in place at a fifth of the rate, about as in LLaVA-1.5's script; otherwise as the recipe of
# LoRA.
_base_ = './lora_qwen2.5-vl-3b_own-chat.py'
model = dict(trainable=['connectors'])
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'vlm.model.visual.merger': dict(lr_mult=0.2)}))
