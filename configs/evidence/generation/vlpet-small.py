# VL-PET small.
_base_ = './vlpet-large.py'
model = dict(adapter=dict(granularity='small'))
