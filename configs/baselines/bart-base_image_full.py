# Full fine-tuning of BART-base, four image tasks at once; as released, without task prompts.
_base_ = '../bottleneck/vl-adapter_bart-base_image.py'
model = dict(train_norms=[], adapter=None, trainable='all')
optim_wrapper = dict(optimizer=dict(lr=1e-4))
