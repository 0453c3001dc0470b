# Full fine-tuning of BART, at a lower rate than the small trained parts of the other methods.
_base_ = './_captions_.py'
model = dict(trainable='all')
optim_wrapper = dict(optimizer=dict(lr=2e-3))
