# Flan-T5-small reads 25 tokens of ViT-S/14 at 70 px; it answers questions of easy-VQA and describes staged stamps.
# tools/evidence/fetch_assets.py brings all.
_base_ = [
    '../../_base_/datasets/seq2seq_loaders.py',
    '../../_base_/schedules/adamw_linear_20e.py',
    '../../_base_/seq2seq_runtime.py',
    '../_towers_.py',
]
model = dict(
    type='VLSeq2Seq',
    data_preprocessor={{_base_.pixels}},
    lm=dict(
        model_type='t5',
        d_model=512,
        d_kv=64,
        d_ff=1024,
        num_layers=8,
        num_heads=6,
        feed_forward_proj='gated-gelu',
        tie_word_embeddings=False,
        # Drawing zeros takes a seventh of a step on a CPU.
        dropout_rate=0.0,
        decoder_start_token_id=0,
    ),
    # 32,000 words, 100 <extra_id_i> and 100 <vis_extra_id_i>.
    vocab_size=32200,
    vocabulary=_base_.models + 'flan-t5-small',
    feature_width=384,
    grid=5,
    vision={{_base_.vit_s}},
    tasks=dict(
        vqa=dict(generation=dict(max_length=5)),
        caption=dict(loss='token', output='pred_caption', generation=dict(max_length=24)),
    ),
    base_checkpoint=dict(
        lm=dict(source=_base_.models + 'flan-t5-small/model.safetensors'),
        vision={{_base_.vit_s_weights}},
    ),
)
image = dict(type='LoadImages', size=70)
question = [dict(type='ComposeText', template='vqa: {question}'), dict(type='PackSample', task='vqa')]
caption = [dict(type='ComposeText', template='caption: '), dict(type='PackSample', task='caption')]
target = dict(type='DrawTarget')
train_dataloader = dict(
    **_base_.loader,
    dataset=dict(
        type='MultiTaskDataset',
        tasks=dict(
            vqa=dict(**_base_.questions, ann_file='train.jsonl', fraction=0.06, pipeline=[image, target, *question]),
            caption=dict(**_base_.stamps, ann_file='train.jsonl', fraction=0.15, pipeline=[image, target, *caption]),
        ),
    ),
    batch_size=32,
    batch_sampler=dict(type='TaskMixingBatchSampler', mixing='proportional'),
)
each = dict(_base_.val_dataloader, batch_size=64, **_base_.loader)
asked = dict(**_base_.questions, test_mode=True, pipeline=[image, *question])
shown = dict(**_base_.stamps, test_mode=True, pipeline=[image, *caption])
val_dataloader = dict(
    _delete_=True,
    vqa=dict(**each, dataset=dict(**asked, ann_file='val.jsonl', fraction=0.1)),
    caption=dict(**each, dataset=dict(**shown, ann_file='val.jsonl', fraction=0.5)),
)
test_dataloader = dict(
    _delete_=True,
    vqa=dict(**each, dataset=dict(**asked, ann_file='test.jsonl', fraction=0.1)),
    caption=dict(**each, dataset=dict(**shown, ann_file='test.jsonl', fraction=0.5)),
)
val_evaluator = dict(
    vqa=dict(type='OpenEndedMetric'), caption=dict(type='CaptionMetric', references='joint', tokenizer='python')
)
test_evaluator = val_evaluator
optim_wrapper = dict(type='MixedPrecisionOptimWrapper', dtype='bfloat16')
main = dict(vqa='vqa/open_ended/accuracy', caption='caption/ROUGE-L')
train_cfg = dict(max_epochs=2, val_interval=2)
val_cfg = dict(type='MultiTaskValLoop', main=main, amp=True)
test_cfg = dict(type='MultiTaskTestLoop', main=main, amp=True)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(save_best=None, max_keep_ckpts=1))
