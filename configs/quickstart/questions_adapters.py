# eP-ALM with adapters at the language model's FFNs, an option of the released code.
_base_ = './questions_epalm.py'
model = dict(
    adapter=[
        {{_base_.model.adapter}},
        dict(
            type='Bottleneck',
            bottleneck=24,
            init='clamped',
            act_cfg=dict(type='ReLU'),
            targets=dict(towers=['lm'], kinds=['ffn']),
        ),
    ]
)
