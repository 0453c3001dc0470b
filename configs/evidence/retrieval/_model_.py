# ViT-S/14 (DINOv2's architecture) at 98 px and MiniLM's BERT, whose cross-attentions and heads are new.
# tools/evidence/fetch_assets.py brings both, and the pictures.
_base_ = [
    '../../_base_/datasets/jsonl_retrieval.py',
    '../../_base_/schedules/adamw_cosine_5e.py',
    '../../_base_/default_runtime.py',
]
size = 98
train_pipeline = [
    dict(type='LoadClip', num_frames=1, sampling='random'),
    dict(type='ClipRandomResizedCrop', size=size, scale=(0.6, 1.0)),
    dict(type='ClipRandomFlip', prob=0.5),
    dict(type='CleanText', max_words=15),
    dict(type='PackSample'),
]
test_pipeline = [
    dict(type='LoadClip', num_frames=1, sampling='middle'),
    dict(type='ClipResize', size=size),
    dict(type='CleanText', max_words=15),
    dict(type='PackSample'),
]
model = dict(
    type='Retriever',
    data_preprocessor=dict(type='ClipDataPreprocessor', mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)),
    vision=dict(
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
    text=dict(
        type='BlipTextEncoder',
        vocab_size=30524,
        width=384,
        depth=6,
        heads=12,
        hidden=1536,
        context_width=384,
        dropout=0.1,
        pooling='mean',
    ),
    vocabulary='data/evidence/models/minilm',
    # No queue: at this size it would hold every picture several times, and their old features.
    itc_head=dict(type='ITCHead', vision_width=384, text_width=384, embed_width=256, queue_size=0, alpha=0.0),
    itm_head=dict(type='ITMHead', width=384),
    momentum=dict(decay=0.9),
)
train_dataloader = dict(
    batch_size=32, num_workers=0, persistent_workers=False, pin_memory=False, dataset=dict(pipeline=train_pipeline)
)
val_dataloader = dict(
    batch_size=64,
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    dataset=dict(ann_file='val.jsonl', pipeline=test_pipeline),
)
test_dataloader = dict(
    batch_size=64,
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    dataset=dict(ann_file='test.jsonl', pipeline=test_pipeline),
)
optim_wrapper = dict(type='MixedPrecisionOptimWrapper', dtype='bfloat16', clip_grad=dict(max_norm=1.0))
val_cfg = dict(k_test=16, amp=True)
test_cfg = dict(k_test=16, amp=True)
default_hooks = dict(logger=dict(interval=5), checkpoint=dict(save_best=None, max_keep_ckpts=1))
