# BitFit on BART-base, four image tasks at once: every bias of both towers trains, those of norms included.
_base_ = [
    '../_base_/models/vl_bart.py',
    '../_base_/datasets/image_multitask.py',
    '../_base_/schedules/adamw_linear_20e_image.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(trainable=['heads', dict(parts='biases', towers=['encoder', 'decoder'])])
