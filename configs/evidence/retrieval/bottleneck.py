# A bottleneck adapter (r = 28) after every sub-layer of both towers: as many parameters as UniAdapter.
_base_ = './_staged_.py'
model = dict(adapter=dict(type='Bottleneck', bottleneck=28, targets=dict()))
