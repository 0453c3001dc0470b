# Full fine-tuning, otherwise as UniAdapter's VQA v2 recipe.
_base_ = '../uniadapter/blip_vqav2.py'
model = dict(adapter=None, trainable='all')
test_evaluator = dict(out_file='work_dirs/full_blip_vqav2_submission.json')
