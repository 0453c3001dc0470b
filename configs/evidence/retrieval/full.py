# Full fine-tuning.
_base_ = './_staged_.py'
model = dict(trainable='all')
