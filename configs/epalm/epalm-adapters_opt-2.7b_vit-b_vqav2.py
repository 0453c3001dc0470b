# As epalm_opt-2.7b_vit-b_vqav2.py with adapters at the language model's FFNs, an option of the released code (r = D /
# 4).
_base_ = './epalm_opt-2.7b_vit-b_vqav2.py'
model = dict(
    adapter=[
        {{_base_.model.adapter}},
        dict(
            type='Bottleneck',
            bottleneck=640,
            init='clamped',
            act_cfg=dict(type='ReLU'),
            targets=dict(towers=['lm'], kinds=['ffn']),
        ),
    ]
)
