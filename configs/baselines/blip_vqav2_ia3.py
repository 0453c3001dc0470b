# IA3: scales of keys, values and hidden units, otherwise as UniAdapter's VQA v2 recipe.
_base_ = '../uniadapter/blip_vqav2.py'
model = dict(adapter=dict(_delete_=True, type='IA3', targets=dict()))
test_evaluator = dict(out_file='work_dirs/ia3_blip_vqav2_submission.json')
