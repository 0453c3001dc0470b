# SmolLM2-135M beside ViT-S/14 (DINOv2's architecture) at 70 px, on an eighth of easy-VQA's questions; both are frozen.
# tools/evidence/fetch_assets.py brings all.
_base_ = [
    '../../_base_/models/epalm_smollm2-135m_vit-b.py',
    '../../_base_/datasets/epalm_jsonl_qa.py',
    '../../_base_/schedules/epalm_8e.py',
    '../../_base_/seq2seq_runtime.py',
]
models = 'data/evidence/models/'
model = dict(
    data_preprocessor=dict(type='ClipDataPreprocessor', mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)),
    encoder=dict(
        _delete_=True,
        type='TransformersVision',
        config=dict(
            model_type='dinov2',
            hidden_size=384,
            num_hidden_layers=12,
            num_attention_heads=6,
            mlp_ratio=4,
            image_size=518,
            patch_size=14,
        ),
    ),
    vocabulary=models + 'smollm2-135m',
    tasks=dict(_delete_=True, vqa=dict(loss_on='answer', num_beams=1, max_new_tokens=4)),
    lm_loss_weight=1.0,
    base_checkpoint=dict(
        lm=dict(source=models + 'smollm2-135m/model.safetensors'),
        encoder=dict(_delete_=True, source=models + 'vit-s/model.safetensors'),
    ),
)
data_root = 'data/evidence/easy_vqa/'
image = [dict(type='LoadClip', num_frames=1), dict(type='ClipResize', size=70)]
train_pipeline = [*image, dict(type='DrawTarget'), _base_.question_text, _base_.pack]
test_pipeline = [*image, _base_.question_text, _base_.pack]
loader = dict(num_workers=0, persistent_workers=False, pin_memory=False)
train_dataloader = dict(
    loader, batch_size=16, dataset=dict(data_root=data_root, fraction=0.125, seed=0, pipeline=train_pipeline)
)
val_dataloader = dict(
    loader,
    batch_size=64,
    dataset=dict(data_root=data_root, ann_file='val.jsonl', fraction=0.125, seed=0, pipeline=test_pipeline),
)
test_dataloader = dict(
    loader, batch_size=64, dataset=dict(data_root=data_root, fraction=0.15, seed=0, pipeline=test_pipeline)
)
optim_wrapper = dict(
    type='MixedPrecisionOptimWrapper',
    dtype='bfloat16',
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(custom_keys=dict(_delete_=True)),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', T_max=1, eta_min=0, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=1, val_interval=1)
val_cfg = dict(fp16=True)
test_cfg = dict(fp16=True)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(save_best=None, max_keep_ckpts=1))
