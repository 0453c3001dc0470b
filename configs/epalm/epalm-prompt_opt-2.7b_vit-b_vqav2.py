# As epalm_opt-2.7b_vit-b_vqav2.py without perception: the soft prompt alone, blind.
_base_ = './epalm_opt-2.7b_vit-b_vqav2.py'
model = dict(adapter=dict(levels=0, start=None, end=None))
