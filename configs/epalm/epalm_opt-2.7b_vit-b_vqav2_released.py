# epalm_opt-2.7b_vit-b_vqav2.py as released (docs/reproducing.md): 4 GPUs x 64 questions.
_base_ = './epalm_opt-2.7b_vit-b_vqav2.py'
model = {{_base_.released}}
train_pipeline = [*_base_.train_pipeline[:2], dict(type='ClipRandomFlip', prob=0.5), *_base_.train_pipeline[3:]]
# Questions without any scored answer are trained on, with an empty answer.
train_dataloader = dict(dataset=dict(keep_unanswered=True, pipeline=train_pipeline))
optim_wrapper = {{_base_.released_questions}}
val_cfg = test_cfg = dict(fp16=True)
default_hooks = dict(checkpoint=dict(save_best='vlt5/accuracy'))
