# VL-PET small, else as large.
_base_ = './vlpet-large_bart-base_image.py'
model = dict(adapter=dict(granularity='small'))
