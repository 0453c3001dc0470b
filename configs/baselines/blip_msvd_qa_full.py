# Full fine-tuning, otherwise as UniAdapter's MSVD-QA recipe, at BLIP's own learning rate.
_base_ = '../uniadapter/blip_msvd_qa.py'
model = dict(adapter=None, trainable='all')
optim_wrapper = dict(optimizer=dict(lr=1e-5))
