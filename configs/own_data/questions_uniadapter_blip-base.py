# Own questions about clips or images answered by UniAdapter (r = 128) on BLIP-base, of the answers that
# data/own/train.jsonl has; from data/own/{train,test}.jsonl.
_base_ = [
    '../_base_/models/blip_vqa.py',
    '../_base_/datasets/jsonl_qa.py',
    '../_base_/schedules/adamw_cosine_5e_answering.py',
    '../_base_/answering_runtime.py',
]
model = dict(adapter=dict(type='UniAdapter', bottleneck=128))
