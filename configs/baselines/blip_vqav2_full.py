# Full fine-tuning, otherwise as UniAdapter's VQA v2 recipe.
_base_ = '../uniadapter/blip_vqav2.py'
model = dict(adapter=None, trainable='all')
