# VL-PET large: gated bottlenecks at every attention and FFN of the language model, in a form that starts at the base
# (zero up-projections and gates of one half, times two); otherwise as the recipe of LoRA.
_base_ = './lora_qwen2.5-vl-3b_vqav2.py'
model = dict(
    adapter=dict(
        _delete_=True,
        type='VLPET',
        granularity='large',
        bottleneck=64,
        scale=2.0,
        init='zero_up',
        targets=dict(towers=['lm'], kinds=['self_attn', 'ffn']),
        value_bottleneck=None,
    )
)
