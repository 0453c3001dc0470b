# UniAdapter (r = 64). The vision tower has twelve blocks, the text tower six: the last six pairs share their modules.
_base_ = './_staged_.py'
model = dict(adapter=dict(type='UniAdapter', bottleneck=64, share='last_blocks'))
