# VL-PET large on T5-base, four image tasks at once, as released: one GPU, seeds 42, 43 and 9595.
_base_ = [
    '../_base_/models/vl_t5.py',
    '../_base_/datasets/image_multitask.py',
    '../_base_/schedules/adamw_linear_20e_image.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(
    trainable=['heads', dict(parts='norms', towers=['encoder'])],
    adapter=dict(
        type='VLPET', granularity='large', bottleneck=192, heads=4, value_bottleneck=96, scale=0.3, init='zero_up'
    ),
)
train_dataloader = dict(batch_size=300, batch_sampler=dict(batch_sizes=dict(vqa=300, gqa=500, nlvr2=100, caption=250)))
optim_wrapper = dict(optimizer=dict(lr=3e-4))
