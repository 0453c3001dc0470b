# epalm-ptl_opt-6.7b_vit-l_vqav2.py as released (docs/reproducing.md): 8 GPUs x 2 questions.
_base_ = './epalm-ptl_opt-6.7b_vit-l_vqav2.py'
model = {{_base_.released}}
train_pipeline = [*_base_.train_pipeline[:2], dict(type='ClipRandomFlip', prob=0.5), *_base_.train_pipeline[3:]]
# Questions without any scored answer are trained on, with an empty answer.
train_dataloader = dict(dataset=dict(keep_unanswered=True, pipeline=train_pipeline))
# The paper's figure on all of val: test_dataloader.dataset.ann_file=vqa/val_standard.json.
test_dataloader = dict(dataset=dict(ann_file='vqa/karpathy_val.json'))
optim_wrapper = {{_base_.released_questions}}
val_cfg = test_cfg = dict(fp16=True)
default_hooks = dict(checkpoint=dict(save_best='vlt5/accuracy'))
