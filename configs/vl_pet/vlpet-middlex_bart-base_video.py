# VL-PET middleX, else as large.
_base_ = './vlpet-large_bart-base_video.py'
model = dict(adapter=dict(granularity='middle_x'))
