# Image retrieval as released: 6 epochs, 32 images on each of 8 GPUs.
_base_ = './adamw_cosine_5e.py'
optim_wrapper = dict(optimizer=dict(lr=1e-5))
param_scheduler = dict(T_max=6, end=6)
auto_scale_lr = dict(base_batch_size=256)
train_cfg = dict(max_epochs=6)
val_cfg = dict(k_test=256)
test_cfg = dict(k_test=256)
