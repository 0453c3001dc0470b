# VQA v2 as released: 10 epochs, 16 images on each of 8 GPUs.
_base_ = './adamw_cosine_5e_answering.py'
optim_wrapper = dict(optimizer=dict(lr=2e-5))
param_scheduler = dict(T_max=10, end=10)
auto_scale_lr = dict(base_batch_size=128)
train_cfg = dict(max_epochs=10)
