# Ladder side-tuning on BART-base, four image tasks at once: side networks of a quarter of the width.
_base_ = [
    '../_base_/models/vl_bart.py',
    '../_base_/datasets/image_multitask.py',
    '../_base_/schedules/adamw_linear_20e_image.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(adapter=dict(type='LST', reduction=4, targets=dict(towers=['encoder', 'decoder'])))
optim_wrapper = dict(optimizer=dict(lr=3e-3, weight_decay=0.03))
