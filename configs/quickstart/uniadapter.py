# UniAdapter with frame-aware attention. 300 steps are short for shared modules and the scale of 0.1 of the paper.
_base_ = './_clips_.py'
model = dict(
    adapter=dict(type='UniAdapter', bottleneck=96, kv_bottleneck=64, share='none', scale=0.4),
    frame_aware=True,
)
