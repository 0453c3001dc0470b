# Full fine-tuning, otherwise as UniAdapter's MSR-VTT recipe, at BLIP's own learning rate for retrieval.
_base_ = '../uniadapter/blip_msrvtt.py'
model = dict(adapter=None, trainable='all')
optim_wrapper = dict(optimizer=dict(lr=1e-5))
