# Ladder side-tuning with side networks of an eighth of the width, whose outputs are added to those of the towers.
_base_ = './_staged_.py'
model = dict(adapter=dict(type='LST', reduction=8, output='add'))
