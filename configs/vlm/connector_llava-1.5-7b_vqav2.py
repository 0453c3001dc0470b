# The connector alone, in place, and so in float32 under autocast: in bfloat16 small steps would round to none. The rate
# is that of LLaVA-1.5's projector beside LoRA; otherwise as the recipe of LoRA.
_base_ = './lora_llava-1.5-7b_vqav2.py'
model = dict(adapter=None, trainable=['connectors'], dtype='float32')
optim_wrapper = dict(type='MixedPrecisionOptimWrapper', dtype='bfloat16', optimizer=dict(lr=2e-5))
