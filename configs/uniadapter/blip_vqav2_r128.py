# As blip_vqav2.py with bottleneck 128.
_base_ = './blip_vqav2.py'
model = dict(adapter=dict(bottleneck=128))
test_evaluator = dict(out_file='work_dirs/uniadapter_blip_vqav2_r128_submission.json')
