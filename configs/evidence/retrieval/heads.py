# Projections and matching head alone.
_base_ = './_stamps_.py'
model = dict(trainable='heads')
