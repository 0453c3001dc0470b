# Flan-T5-small reads 49 tokens of ViT-S/14 (DINOv2's architecture) at 98 px and answers easy-VQA's questions and names
# Tux Paint's stamps, both at once. tools/evidence/fetch_assets.py brings all.
_base_ = [
    '../../_base_/datasets/seq2seq_loaders.py',
    '../../_base_/schedules/adamw_linear_20e.py',
    '../../_base_/seq2seq_runtime.py',
]
models = 'data/evidence/models/'
model = dict(
    type='VLSeq2Seq',
    data_preprocessor=dict(type='ClipDataPreprocessor', mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)),
    lm=dict(
        model_type='t5',
        d_model=512,
        d_kv=64,
        d_ff=1024,
        num_layers=8,
        num_heads=6,
        feed_forward_proj='gated-gelu',
        tie_word_embeddings=False,
        dropout_rate=0.1,
        decoder_start_token_id=0,
    ),
    # 32,000 words, 100 <extra_id_i> and 100 <vis_extra_id_i>.
    vocab_size=32200,
    vocabulary=models + 'flan-t5-small',
    feature_width=384,
    grid=7,
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
    tasks=dict(
        vqa=dict(generation=dict(max_length=5)),
        caption=dict(loss='token', output='pred_caption', generation=dict(max_length=24)),
    ),
    base_checkpoint=dict(
        lm=dict(source=models + 'flan-t5-small/model.safetensors'),
        vision=dict(source=models + 'vit-s/model.safetensors'),
    ),
)
image = dict(type='LoadImages', size=98)
question = [dict(type='ComposeText', template='vqa: {question}'), dict(type='PackSample', task='vqa')]
caption = [dict(type='ComposeText', template='caption: '), dict(type='PackSample', task='caption')]
vqa = dict(type='JSONLQA', data_root='data/evidence/easy_vqa/', seed=0)
stamps = dict(type='JSONLCaption', data_root='data/evidence/stamps/')
target = dict(type='DrawTarget')
loader = dict(num_workers=0, persistent_workers=False, pin_memory=False)
train_dataloader = dict(
    loader,
    dataset=dict(
        type='MultiTaskDataset',
        tasks=dict(
            vqa=dict(vqa, ann_file='train.jsonl', fraction=0.06, pipeline=[image, target, *question]),
            caption=dict(stamps, ann_file='train.jsonl', pipeline=[image, target, *caption]),
        ),
    ),
    batch_size=32,
    batch_sampler=dict(type='TaskMixingBatchSampler', mixing='proportional'),
)
each = dict(_base_.val_dataloader, batch_size=64, **loader)
val_dataloader = dict(
    _delete_=True,
    vqa=dict(
        each, dataset=dict(vqa, ann_file='val.jsonl', fraction=0.125, test_mode=True, pipeline=[image, *question])
    ),
    caption=dict(each, dataset=dict(stamps, ann_file='val.jsonl', test_mode=True, pipeline=[image, *caption])),
)
test_dataloader = dict(
    _delete_=True,
    vqa=dict(
        each, dataset=dict(vqa, ann_file='test.jsonl', fraction=0.15, test_mode=True, pipeline=[image, *question])
    ),
    caption=dict(each, dataset=dict(stamps, ann_file='test.jsonl', test_mode=True, pipeline=[image, *caption])),
)
val_evaluator = dict(
    vqa=dict(type='OpenEndedMetric'), caption=dict(type='CaptionMetric', references='joint', tokenizer='python')
)
test_evaluator = val_evaluator
optim_wrapper = dict(type='MixedPrecisionOptimWrapper', dtype='bfloat16')
main = dict(vqa='vqa/open_ended/accuracy', caption='caption/caption/CIDEr')
train_cfg = dict(max_epochs=3, val_interval=3)
val_cfg = dict(type='MultiTaskValLoop', main=main, amp=True)
test_cfg = dict(type='MultiTaskTestLoop', main=main, amp=True)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(save_best=None, max_keep_ckpts=1))
