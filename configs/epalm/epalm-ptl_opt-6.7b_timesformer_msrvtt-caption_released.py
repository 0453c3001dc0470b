# eP-ALM_pt-L on MSR-VTT captions, whose figure is published and whose settings are not (docs/reproducing.md): the
# released ways, batches and epochs of OPT-2.7B's recipe with the rates of the released pt-L recipes.
_base_ = './epalm_opt-2.7b_timesformer_msrvtt-caption_released.py'
model = {{_base_.ptl}}
optim_wrapper = dict(optimizer=dict(lr=2e-4))
param_scheduler = dict(warmup_lr=1e-4, min_lr=1e-5)
