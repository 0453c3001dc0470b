# As the 1 %, with 512 questions of VQA v2, 0.12 %.
_base_ = './epalm_opt-2.7b_vit-b_vqav2_few-shot-1pct.py'
train_dataloader = dict(dataset=dict(fraction=512 / 443757))
