# Full fine-tuning of T5-base, four image tasks at once; with task prompts, as Ladder Side-Tuning's code has it.
_base_ = [
    '../_base_/models/vl_t5.py',
    '../_base_/datasets/image_multitask.py',
    '../_base_/schedules/adamw_linear_20e_image.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(trainable='all')
train_dataloader = dict(batch_size=300, batch_sampler=dict(batch_sizes=dict(vqa=300, gqa=500, nlvr2=100, caption=250)))
# The tables of relative positions are biases by their name, which are not decayed.
optim_wrapper = dict(
    optimizer=dict(lr=1e-4), paramwise_cfg=dict(custom_keys={'relative_attention_bias': dict(decay_mult=0.0)})
)
