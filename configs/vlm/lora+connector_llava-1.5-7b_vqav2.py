# LoRA, and the connector in place at a fifth of the rate, about as in LLaVA-1.5's script; in float32 under autocast,
# since in bfloat16 its small steps would round to none; otherwise as the recipe of LoRA.
_base_ = './lora_llava-1.5-7b_vqav2.py'
model = dict(trainable=['connectors'], dtype='float32')
optim_wrapper = dict(
    type='MixedPrecisionOptimWrapper',
    dtype='bfloat16',
    paramwise_cfg=dict(custom_keys={'vlm.model.multi_modal_projector': dict(lr_mult=0.2)}),
)
