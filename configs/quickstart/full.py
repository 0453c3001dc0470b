# Full fine-tuning.
_base_ = './_clips_.py'
model = dict(trainable='all')
