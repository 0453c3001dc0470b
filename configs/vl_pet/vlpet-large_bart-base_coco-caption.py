# VL-PET large on BART-base, COCO captions alone.
_base_ = [
    '../_base_/models/vl_bart.py',
    '../_base_/datasets/coco_caption_single.py',
    '../_base_/schedules/adamw_linear_20e.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(
    train_norms=['encoder'],
    adapter=dict(type='VLPET', granularity='large', bottleneck=96, heads=4, value_bottleneck=96),
)
default_hooks = dict(checkpoint=dict(save_best='caption/CIDEr'))
