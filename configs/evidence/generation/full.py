# Full fine-tuning of the language model.
_base_ = './_tasks_.py'
model = dict(trainable='all')
