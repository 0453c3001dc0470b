# A small BART that describes drawn stills; the frozen vision tower is that of the small BLIP.
_base_ = [
    '../_base_/datasets/jsonl_caption.py',
    '../_base_/schedules/adamw_linear_20e.py',
    '../_base_/seq2seq_runtime.py',
]
words = 64
model = dict(
    type='VLSeq2Seq',
    lm=dict(
        model_type='bart',
        d_model=96,
        encoder_layers=3,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=384,
        decoder_ffn_dim=384,
        max_position_embeddings=64,
        init_std=0.08,
        dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
    ),
    vocab_size=words + 200,
    vocabulary='work_dirs/quickstart/bart',
    feature_width=96,
    grid=4,
    vision=dict(
        type='mmpretrain.VisionTransformer',
        arch=dict(embed_dims=96, num_layers=3, num_heads=4, feedforward_channels=384),
        img_size=64,
        patch_size=16,
        out_type='raw',
        final_norm=True,
    ),
    tasks=dict(caption=dict(loss='token', output='pred_caption', generation=dict(num_beams=1, max_length=28))),
    base_checkpoint=dict(
        lm=dict(source='work_dirs/quickstart/bart/model.safetensors'),
        vision=dict(source='blip_tiny'),
    ),
)
data_root = 'data/quickstart/pictures/'
prompt = dict(type='ComposeText', template='<mask>')
pack = dict(type='PackSample', task='caption')
train_pipeline = [dict(type='LoadImages', size=64), dict(type='DrawTarget'), prompt, pack]
test_pipeline = [dict(type='LoadImages', size=64), prompt, pack]
train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    pin_memory=False,
    dataset=dict(data_root=data_root, ann_file='captions_train.jsonl', pipeline=train_pipeline),
)
test_dataloader = dict(
    batch_size=50,
    num_workers=0,
    pin_memory=False,
    persistent_workers=False,
    dataset=dict(data_root=data_root, ann_file='captions_test.jsonl', pipeline=test_pipeline),
)
optim_wrapper = dict(optimizer=dict(lr=5e-3))
# Nothing is chosen by a validation; the test follows at once.
val_dataloader = val_evaluator = val_cfg = None
test_evaluator = dict(tokenizer='python')
train_cfg = dict(max_epochs=12)
default_hooks = dict(checkpoint=dict(save_best=None))
