# What the studies of generation and of perceiving share: where weights lie, and the frozen ViT-S/14 (DINOv2's
# architecture). The retrieval study has its own copy of it: a record is of the whole config, with all that it inherits.
models = 'data/evidence/models/'
pixels = dict(type='ClipDataPreprocessor', mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
vit_s = dict(
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
)
vit_s_weights = dict(source=models + 'vit-s/model.safetensors')
# Both tasks' sets: questions about drawn shapes, and stamps on coloured grounds with captions that say so.
questions = dict(type='JSONLQA', data_root='data/evidence/easy_vqa/', seed=0)
stamps = dict(type='JSONLCaption', data_root='data/evidence/staged_stamps/', seed=0)
loader = dict(num_workers=0, persistent_workers=False, pin_memory=False)
