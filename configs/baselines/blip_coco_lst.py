# Ladder side-tuning: side networks of an eighth of the width, whose outputs are added to those of the towers, otherwise
# as UniAdapter's COCO recipe.
_base_ = '../uniadapter/blip_coco.py'
model = dict(adapter=dict(_delete_=True, type='LST', reduction=8, output='add'))
