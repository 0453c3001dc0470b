# As epalm_8e_qa_released.py with the wiring of the released captioning scripts: the prompt has no rate of its own,
# matrices keep theirs, and biases alone are scheduled, without decay.
_base_ = './epalm_8e_qa_released.py'
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys=dict(
            _delete_=True, weight=dict(scheduled=False), table=dict(scheduled=False), bias=dict(decay_mult=0.0)
        )
    )
)
