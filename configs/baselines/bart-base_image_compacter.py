# Compacter on BART-base, four image tasks at once: after every sub-layer, shared by the tasks, and all norms.
_base_ = [
    '../_base_/models/vl_bart.py',
    '../_base_/datasets/image_multitask.py',
    '../_base_/schedules/adamw_linear_20e_image.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(
    trainable=['heads', dict(parts='norms', towers=['encoder', 'decoder'])],
    adapter=dict(type='Compacter', bottleneck=96, phm_dim=2, targets=dict(towers=['encoder', 'decoder'])),
)
