# UniAdapter with frame-aware attention.
_base_ = './_clips_.py'
model = dict(adapter=dict(type='UniAdapter', bottleneck=64), frame_aware=True)
