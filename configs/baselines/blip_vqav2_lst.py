# Ladder side-tuning: side networks of an eighth of the width, whose outputs are added to those of the towers, otherwise
# as UniAdapter's VQA v2 recipe.
_base_ = '../uniadapter/blip_vqav2.py'
model = dict(adapter=dict(_delete_=True, type='LST', reduction=8, output='add'))
test_evaluator = dict(out_file='work_dirs/lst_blip_vqav2_submission.json')
