# VQA v2, GQA, NLVR2 and COCO captions at once, mixed as released; batch sizes are those for BART.
_base_ = ['./vqa_karpathy.py', './gqa.py', './nlvr2.py', './coco_caption.py', './seq2seq_loaders.py']
train_dataloader = dict(
    dataset=dict(
        type='MultiTaskDataset',
        tasks=dict(
            vqa={{_base_.vqa_train_set}},
            gqa={{_base_.gqa_train_set}},
            nlvr2={{_base_.nlvr2_train_set}},
            caption={{_base_.caption_train_set}},
        ),
    ),
    batch_size=500,
    batch_sampler=dict(
        type='TaskMixingBatchSampler',
        batch_sizes=dict(vqa=500, gqa=833, nlvr2=166, caption=416),
        mixing='proportional',
        order=('vqa', 'gqa', 'nlvr2', 'caption'),
    ),
)
loader = dict(**_base_.val_dataloader, batch_size=500)
val_dataloader = dict(
    _delete_=True,
    vqa=dict(**loader, dataset={{_base_.vqa_val_set}}),
    gqa=dict(**loader, dataset={{_base_.gqa_val_set}}),
    nlvr2=dict(**loader, dataset={{_base_.nlvr2_val_set}}),
    caption=dict(**loader, dataset={{_base_.caption_val_set}}),
)
val_evaluator = dict(
    vqa={{_base_.vqa_val_evaluator}},
    gqa={{_base_.gqa_val_evaluator}},
    nlvr2={{_base_.nlvr2_val_evaluator}},
    caption={{_base_.caption_val_evaluator}},
)
# GQA's figure is that of testdev.
test_dataloader = dict(
    _delete_=True,
    vqa=dict(**loader, dataset={{_base_.vqa_test_set}}),
    gqa=dict(**loader, dataset={{_base_.gqa_test_set}}),
    nlvr2=dict(**loader, dataset={{_base_.nlvr2_test_set}}),
    caption=dict(**loader, dataset={{_base_.caption_test_set}}),
)
test_evaluator = dict(
    vqa={{_base_.vqa_test_evaluator}},
    gqa={{_base_.gqa_test_evaluator}},
    nlvr2={{_base_.nlvr2_test_evaluator}},
    caption={{_base_.caption_test_evaluator}},
)
