# UniAdapter (r = 128) on BLIP, MSR-VTT 9k / 1k-A, 8 frames at 224 px, 8 GPUs x 8 clips.
_base_ = [
    '../_base_/models/blip_base.py',
    '../_base_/datasets/msrvtt_retrieval.py',
    '../_base_/schedules/adamw_cosine_5e.py',
    '../_base_/default_runtime.py',
]
model = dict(adapter=dict(type='UniAdapter', bottleneck=128, kv_bottleneck=None), frame_aware=True)
