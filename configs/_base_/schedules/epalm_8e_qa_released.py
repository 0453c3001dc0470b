# As epalm_8e.py with the wiring of the released question answering scripts: the soft prompt keeps its rate.
_base_ = './epalm_8e.py'
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(prompt=dict(scheduled=False))))
