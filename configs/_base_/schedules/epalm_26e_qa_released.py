# Released question answering about videos, see epalm_8e_qa_released.py.
_base_ = './epalm_8e_qa_released.py'
param_scheduler = dict(end=26)
train_cfg = dict(max_epochs=26)
