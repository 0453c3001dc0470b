# eP-ALM whose slot sees all rows, as released.
_base_ = './epalm.py'
model = dict(visual_row='full')
