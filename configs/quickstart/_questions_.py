# A small OPT that answers questions about drawn stills; the frozen encoder is that of the small BLIP.
_base_ = [
    '../_base_/datasets/epalm_jsonl_qa.py',
    '../_base_/schedules/adamw_linear_20e.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(
    type='PerceptualLM',
    lm=dict(
        model_type='opt',
        hidden_size=96,
        word_embed_proj_dim=96,
        num_hidden_layers=6,
        num_attention_heads=4,
        ffn_dim=384,
        max_position_embeddings=64,
        init_std=0.08,
        dropout=0.0,
        bos_token_id=0,
        eos_token_id=2,
    ),
    vocab_size=72,
    vocabulary='work_dirs/quickstart/opt',
    encoder=dict(
        type='mmpretrain.VisionTransformer',
        arch=dict(embed_dims=96, num_layers=3, num_heads=4, feedforward_channels=384),
        img_size=64,
        patch_size=16,
        out_type='raw',
        final_norm=True,
    ),
    tasks=dict(vqa=dict(num_beams=1, max_new_tokens=4, loss_on='answer')),
    lm_loss_weight=1.0,
    base_checkpoint=dict(
        lm=dict(source='work_dirs/quickstart/opt/model.safetensors'),
        encoder=dict(source='blip_tiny'),
    ),
)
data_root = 'data/quickstart/pictures/'
pipeline = [
    dict(type='LoadClip', num_frames=1),
    dict(type='DrawTarget'),
    dict(type='ComposeText', template='{question}</a>'),
    dict(type='PackSample', task='vqa'),
]
train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    pin_memory=False,
    dataset=dict(data_root=data_root, ann_file='questions_train.jsonl', pipeline=pipeline),
)
test_dataloader = dict(
    batch_size=64,
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    dataset=dict(data_root=data_root, ann_file='questions_test.jsonl', pipeline=[pipeline[0], *pipeline[2:]]),
)
optim_wrapper = dict(optimizer=dict(lr=5e-3))
# Nothing is chosen by a validation; the test follows at once.
val_dataloader = val_evaluator = val_cfg = None
train_cfg = dict(max_epochs=4)
default_hooks = dict(checkpoint=dict(save_best=None))
