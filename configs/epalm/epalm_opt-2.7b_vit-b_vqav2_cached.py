# As epalm_opt-2.7b_vit-b_vqav2.py without augmentation: the encoder sees every image once, and its vectors are kept.
_base_ = './epalm_opt-2.7b_vit-b_vqav2.py'
train_pipeline = [*_base_.image_test, dict(type='DrawTarget'), _base_.question_text, _base_.pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
custom_hooks = [*_base_.custom_hooks, dict(type='FeatureCacheHook', folder='work_dirs/feature_cache')]
