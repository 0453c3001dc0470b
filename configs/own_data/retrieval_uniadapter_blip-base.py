# Own clips or images found by text: UniAdapter (r = 128) on BLIP-base, from data/own/{train,test}.jsonl.
_base_ = [
    '../_base_/models/blip_base.py',
    '../_base_/datasets/jsonl_retrieval.py',
    '../_base_/schedules/adamw_cosine_5e.py',
    '../_base_/default_runtime.py',
]
model = dict(adapter=dict(type='UniAdapter', bottleneck=128), frame_aware=True)
