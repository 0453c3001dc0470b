# BitFit: a bias for every map and norm of encoder and decoder, of which T5 has none.
_base_ = './_tasks_.py'
model = dict(adapter=dict(type='BitFit', add_missing=True, targets=dict(towers=['encoder', 'decoder'])))
