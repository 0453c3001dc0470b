# Projections and matching head alone.
_base_ = './_staged_.py'
model = dict(trainable='heads')
