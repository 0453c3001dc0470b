# VL-PET middleX.
_base_ = './vlpet-large.py'
model = dict(adapter=dict(granularity='middle_x'))
