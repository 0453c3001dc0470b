# VL-PET middleY, else as large.
_base_ = './vlpet-large_bart-base_image.py'
model = dict(adapter=dict(granularity='middle_y'))
