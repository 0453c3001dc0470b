# eP-ALM_pt-L on MSRVTT-QA, whose figure is published and whose settings are not (docs/reproducing.md): the released
# ways, batches and epochs of OPT-2.7B's recipe with the rates of the released pt-L recipes.
_base_ = './epalm_opt-2.7b_timesformer_msrvtt-qa_released.py'
model = {{_base_.ptl}}
optim_wrapper = dict(optimizer=dict(lr=2e-4), paramwise_cfg=dict(custom_keys=dict(prompt=dict(lr_mult=5.0))))
param_scheduler = dict(warmup_lr=1e-4, min_lr=1e-5)
