# Full fine-tuning of BART-base, four image tasks at once; as released, without task prompts.
_base_ = [
    '../_base_/models/vl_bart.py',
    '../_base_/datasets/image_multitask_no_prompts.py',
    '../_base_/schedules/adamw_linear_20e_image.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(trainable='all')
optim_wrapper = dict(optimizer=dict(lr=1e-4))
