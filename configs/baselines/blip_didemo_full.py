# Full fine-tuning, otherwise as UniAdapter's DiDeMo recipe, at BLIP's own learning rate.
_base_ = '../uniadapter/blip_didemo.py'
model = dict(adapter=None, trainable='all')
optim_wrapper = dict(optimizer=dict(lr=1e-5))
