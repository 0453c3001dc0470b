# The base of the control: as base.py, from random towers.
_base_ = './base.py'
model = dict(base_checkpoint=None)
