# Hyperformer on BART-base, four image tasks at once: adapters that are generated for each task and layer, and all
# norms; as released, without task prompts.
_base_ = [
    '../_base_/models/vl_bart.py',
    '../_base_/datasets/image_multitask_no_prompts.py',
    '../_base_/schedules/adamw_linear_20e_image.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(
    trainable=['heads', dict(parts='norms', towers=['encoder', 'decoder'])],
    adapter=dict(
        type='Hyperformer',
        tasks=['vqa', 'gqa', 'nlvr2', 'caption'],
        bottleneck=96,
        targets=dict(towers=['encoder', 'decoder']),
    ),
)
# Vectors of the tasks that a batch is not of have no gradient: what several processes need to know.
find_unused_parameters = True
