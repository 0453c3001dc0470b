# BitFit: offsets of the biases of all blocks and norms.
_base_ = './_staged_.py'
model = dict(adapter=dict(type='BitFit', targets=dict()))
