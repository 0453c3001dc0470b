# Ladder side-tuning on T5-base, four image tasks at once: side networks of a quarter of the width.
_base_ = [
    '../_base_/models/vl_t5.py',
    '../_base_/datasets/image_multitask.py',
    '../_base_/schedules/adamw_linear_20e_image.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(
    adapter=dict(
        type='LST', reduction=4, bias=False, act_cfg=dict(type='ReLU'), targets=dict(towers=['encoder', 'decoder'])
    )
)
train_dataloader = dict(batch_size=300, batch_sampler=dict(batch_sizes=dict(vqa=300, gqa=500, nlvr2=100, caption=250)))
optim_wrapper = dict(optimizer=dict(lr=3e-3, weight_decay=0.03))
