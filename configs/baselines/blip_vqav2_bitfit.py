# BitFit: offsets of the biases of all blocks and norms, otherwise as UniAdapter's VQA v2 recipe.
_base_ = '../uniadapter/blip_vqav2.py'
model = dict(adapter=dict(_delete_=True, type='BitFit', targets=dict()))
test_evaluator = dict(out_file='work_dirs/bitfit_blip_vqav2_submission.json')
