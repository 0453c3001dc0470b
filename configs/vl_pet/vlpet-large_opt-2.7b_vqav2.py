# VL-PET large on OPT-2.7B, which perceives through eP-ALM, VQA v2: gates at every attention and FFN of the language
# model. It has no cross-attention, so there are no value adapters.
_base_ = '../epalm/epalm_opt-2.7b_vit-b_vqav2.py'
lm = dict(towers=['lm'], kinds=['self_attn', 'ffn'])
model = dict(
    adapter=[
        {{_base_.model.adapter}},
        dict(type='VLPET', granularity='large', bottleneck=96, targets=lm, value_bottleneck=None),
    ]
)
