# VL-PET small, else as large.
_base_ = './vlpet-large_t5-base_image.py'
model = dict(adapter=dict(granularity='small'))
