# Prompt tuning of T5-base, four image tasks at once, as on BART, at the rate of Ladder Side-Tuning's code.
_base_ = [
    '../_base_/models/vl_t5.py',
    '../_base_/datasets/image_multitask.py',
    '../_base_/schedules/adamw_linear_20e_image.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(adapter=dict(type='PromptTuning', length=40, hidden=800, targets=dict(towers=['encoder'])))
train_dataloader = dict(batch_size=300, batch_sampler=dict(batch_sizes=dict(vqa=300, gqa=500, nlvr2=100, caption=250)))
optim_wrapper = dict(optimizer=dict(lr=3e-3))
