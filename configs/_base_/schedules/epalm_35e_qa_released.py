# Released pt-L question answering, see epalm_8e_qa_released.py.
_base_ = './epalm_35e.py'
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(prompt=dict(scheduled=False))))
