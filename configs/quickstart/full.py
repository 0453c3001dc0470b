# Full fine-tuning, at a lower rate than the small trained parts of the other methods.
_base_ = './_clips_.py'
model = dict(trainable='all')
optim_wrapper = dict(optimizer=dict(lr=1e-3))
