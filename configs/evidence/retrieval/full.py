# Full fine-tuning.
_base_ = './_stamps_.py'
model = dict(trainable='all')
