# QLoRA: LoRA beside a base in 4 bits (NF4, scales quantised too), for GPUs of 8 GB; needs bitsandbytes.
_base_ = './lora_qwen2.5-vl-3b_own-chat.py'
model = dict(
    quantization=dict(
        load_in_4bit=True,
        bnb_4bit_quant_type='nf4',
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype='bfloat16',
    )
)
