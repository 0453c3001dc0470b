# A BLIP small enough for two CPU cores, on the generated clips: 64 px, 4 frames, 3 blocks of width 96.
_base_ = [
    '../_base_/datasets/jsonl_retrieval.py',
    '../_base_/schedules/adamw_cosine_5e.py',
    '../_base_/default_runtime.py',
]

num_frames = 4
train_pipeline = [
    dict(type='LoadClip', num_frames=num_frames, sampling='random'),
    dict(type='CleanText', max_words=30),
    dict(type='PackSample'),
]
test_pipeline = [
    dict(type='LoadClip', num_frames=num_frames, sampling='middle'),
    dict(type='CleanText', max_words=30),
    dict(type='PackSample'),
]
model = dict(
    type='Retriever',
    vision=dict(
        type='mmpretrain.VisionTransformer',
        arch=dict(embed_dims=96, num_layers=3, num_heads=4, feedforward_channels=384),
        img_size=64,
        patch_size=16,
        out_type='raw',
        final_norm=True,
    ),
    text=dict(
        type='BlipTextEncoder',
        vocab_size=256,
        width=96,
        depth=3,
        heads=4,
        hidden=384,
        context_width=96,
        max_positions=64,
        dropout=0.0,
    ),
    vocabulary='blip_tiny',
    itc_head=dict(type='ITCHead', vision_width=96, text_width=96, embed_width=64, queue_size=0, alpha=0.4),
    itm_head=dict(type='ITMHead', width=96),
    # Short runs at high rates: momentum weights that keep up, and no queue of features that have since turned away.
    momentum=dict(decay=0.9),
)

data_root = 'data/quickstart/clips/'
train_dataloader = dict(
    batch_size=32, num_workers=1, pin_memory=False, dataset=dict(data_root=data_root, pipeline=train_pipeline)
)
val_dataloader = dict(
    batch_size=32,
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    dataset=dict(data_root=data_root, ann_file='val.jsonl', pipeline=test_pipeline),
)
test_dataloader = dict(
    batch_size=32,
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    dataset=dict(data_root=data_root, ann_file='test.jsonl', pipeline=test_pipeline),
)

val_cfg = dict(k_test=32)
test_cfg = dict(k_test=32)
