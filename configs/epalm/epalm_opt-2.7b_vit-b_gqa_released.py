# epalm_opt-2.7b_vit-b_gqa.py as released (docs/reproducing.md): 4 GPUs x 64 questions.
_base_ = './epalm_opt-2.7b_vit-b_gqa.py'
model = {{_base_.released}}
train_pipeline = [*_base_.train_pipeline[:2], dict(type='ClipRandomFlip', prob=0.5), *_base_.train_pipeline[3:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
# All of valid is evaluated after every epoch.
val_dataloader = dict(dataset=dict(fraction=None, seed=None))
optim_wrapper = {{_base_.released_questions}}
val_cfg = test_cfg = dict(fp16=True)
