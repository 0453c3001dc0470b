# The adaptation to clips that every method shares, from the base trained on stills.
_base_ = './_base_.py'
model = dict(base_checkpoint=dict(source='work_dirs/quickstart/base.pth'))
