# SmolLM2-135M-Instruct beside ViT-S/14 at 70 px, both frozen, answers questions of easy-VQA and describes staged
# stamps. tools/evidence/fetch_assets.py brings all.
_base_ = [
    '../../_base_/models/epalm_smollm2-135m_vit-b.py',
    '../../_base_/datasets/seq2seq_loaders.py',
    '../../_base_/schedules/epalm_8e.py',
    '../../_base_/seq2seq_runtime.py',
    '../_towers_.py',
]
model = dict(
    data_preprocessor={{_base_.pixels}},
    encoder=dict(_delete_=True, **_base_.vit_s),
    # SmolLM2-135M-Instruct, whose texts begin with <|im_start|> and end with <|im_end|>.
    lm=dict(bos_token_id=1, eos_token_id=2),
    vocabulary=_base_.models + 'smollm2-135m',
    # Short texts in bfloat16 train faster so on a CPU (docs/performance.md).
    attn_implementation='eager',
    tasks=dict(
        _delete_=True,
        vqa=dict(loss_on='answer', num_beams=1, max_new_tokens=4),
        caption=dict(loss_on='answer', output='pred_caption', num_beams=1, max_new_tokens=20),
    ),
    lm_loss_weight=1.0,
    base_checkpoint=dict(
        lm=dict(source=_base_.models + 'smollm2-135m/model.safetensors'),
        encoder=dict(_delete_=True, **_base_.vit_s_weights),
    ),
)
image = [dict(type='LoadClip', num_frames=1), dict(type='ClipResize', size=70)]
target = dict(type='DrawTarget')
question = [dict(type='ComposeText', template='{question}</a>'), dict(type='PackSample', task='vqa')]
caption = [dict(type='ComposeText', template='caption</a>'), dict(type='PackSample', task='caption')]
train_dataloader = dict(
    **_base_.loader,
    dataset=dict(
        type='MultiTaskDataset',
        tasks=dict(
            vqa=dict(**_base_.questions, ann_file='train.jsonl', fraction=0.06, pipeline=[*image, target, *question]),
            caption=dict(**_base_.stamps, ann_file='train.jsonl', fraction=0.15, pipeline=[*image, target, *caption]),
        ),
    ),
    batch_size=16,
    batch_sampler=dict(type='TaskMixingBatchSampler', mixing='proportional'),
)
each = dict(_base_.val_dataloader, batch_size=64, **_base_.loader)
asked = dict(**_base_.questions, test_mode=True, pipeline=[*image, *question])
shown = dict(**_base_.stamps, test_mode=True, pipeline=[*image, *caption])
val_dataloader = dict(_delete_=True, vqa=dict(**each, dataset=dict(**asked, ann_file='val.jsonl', fraction=0.15)))
test_dataloader = dict(
    _delete_=True,
    vqa=dict(**each, dataset=dict(**asked, ann_file='test.jsonl', fraction=0.1)),
    caption=dict(**each, dataset=dict(**shown, ann_file='test.jsonl', fraction=0.5)),
)
val_evaluator = dict(vqa=dict(type='OpenEndedMetric'))
test_evaluator = dict(
    vqa=dict(type='OpenEndedMetric'), caption=dict(type='CaptionMetric', references='joint', tokenizer='python')
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
val_cfg = dict(type='MultiTaskValLoop', amp=True)
test_cfg = dict(type='MultiTaskTestLoop', amp=True)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(save_best=None, max_keep_ckpts=1))
