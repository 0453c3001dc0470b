# UniAdapter with frame-aware attention. A run of 300 steps is short for the paper's scale of 0.1.
_base_ = './_clips_.py'
model = dict(adapter=dict(type='UniAdapter', bottleneck=64, kv_bottleneck=48, scale=0.4), frame_aware=True)
