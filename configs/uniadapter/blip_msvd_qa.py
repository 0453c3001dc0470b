# UniAdapter (r = 128) on BLIP, MSVD-QA, 8 frames at 224 px, 8 GPUs x 8 clips.
_base_ = [
    '../_base_/models/blip_vqa.py',
    '../_base_/datasets/msvd_qa.py',
    '../_base_/schedules/adamw_cosine_5e_answering.py',
    '../_base_/answering_runtime.py',
]
model = dict(adapter=dict(type='UniAdapter', bottleneck=128, kv_bottleneck=None))
