# A bottleneck adapter (r = 128) after every sub-layer of every tower, otherwise as UniAdapter's VQA v2 recipe.
_base_ = '../uniadapter/blip_vqav2.py'
model = dict(adapter=dict(_delete_=True, type='Bottleneck', bottleneck=128, targets=dict()))
test_evaluator = dict(out_file='work_dirs/bottleneck_blip_vqav2_submission.json')
