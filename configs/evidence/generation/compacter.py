# Compacter after every sub-layer of encoder and decoder, shared by the tasks, and all norms.
_base_ = './_tasks_.py'
model = dict(
    trainable=['heads', dict(parts='norms', towers=['encoder', 'decoder'])],
    adapter=dict(type='Compacter', bottleneck=48, phm_dim=2, targets=dict(towers=['encoder', 'decoder'])),
)
