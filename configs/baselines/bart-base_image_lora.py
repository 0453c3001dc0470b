# LoRA on BART-base, four image tasks at once: rank 128 on the queries and values of all attentions, shared by the
# tasks, and every bias.
_base_ = [
    '../_base_/models/vl_bart.py',
    '../_base_/datasets/image_multitask.py',
    '../_base_/schedules/adamw_linear_20e_image.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(
    trainable=['heads', dict(parts='biases', towers=['encoder', 'decoder'])],
    adapter=dict(type='LoRA', rank=128, alpha=32, dropout=0.1, targets=dict(linears=['q', 'v'])),
)
