# Own questions answered by VL-PET large on BART-base and a frozen CLIP ViT-B/16, from data/own/{train,test}.jsonl.
_base_ = [
    '../_base_/models/vl_bart_online.py',
    '../_base_/datasets/jsonl_qa_seq2seq.py',
    '../_base_/schedules/adamw_linear_20e.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(
    trainable=['heads', dict(parts='norms', towers=['encoder'])],
    adapter=dict(type='VLPET', granularity='large', bottleneck=96, heads=4, value_bottleneck=96),
)
default_hooks = dict(checkpoint=dict(save_best='open_ended/accuracy'))
