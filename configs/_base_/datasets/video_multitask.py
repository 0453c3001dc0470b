# TVQA, How2QA, TVC and YC2C at once, mixed as released. Test answers are VALUE's: files for its server are written.
_base_ = ['./value_questions.py', './value_captions.py', './seq2seq_loaders.py']
train_dataloader = dict(
    dataset=dict(
        type='MultiTaskDataset',
        tasks=dict(
            tvqa={{_base_.tvqa_train_set}},
            how2qa={{_base_.how2qa_train_set}},
            tvc={{_base_.tvc_train_set}},
            yc2c={{_base_.yc2c_train_set}},
        ),
    ),
    batch_size=50,
    batch_sampler=dict(type='TaskMixingBatchSampler', mixing='proportional', order=('tvqa', 'how2qa', 'tvc', 'yc2c')),
)
loader = dict(**_base_.val_dataloader, batch_size=50)
val_dataloader = dict(
    _delete_=True,
    tvqa=dict(**loader, dataset={{_base_.tvqa_val_set}}),
    how2qa=dict(**loader, dataset={{_base_.how2qa_val_set}}),
    tvc=dict(**loader, dataset={{_base_.tvc_val_set}}),
    yc2c=dict(**loader, dataset={{_base_.yc2c_val_set}}),
)
val_evaluator = dict(
    tvqa={{_base_.tvqa_val_evaluator}},
    how2qa={{_base_.how2qa_val_evaluator}},
    tvc={{_base_.tvc_val_evaluator}},
    yc2c={{_base_.yc2c_val_evaluator}},
)
test_dataloader = dict(
    _delete_=True,
    tvqa=dict(**loader, dataset={{_base_.tvqa_test_set}}),
    how2qa=dict(**loader, dataset={{_base_.how2qa_test_set}}),
    tvc=dict(**loader, dataset={{_base_.tvc_test_set}}),
    yc2c=dict(**loader, dataset={{_base_.yc2c_test_set}}),
)
test_evaluator = dict(
    tvqa={{_base_.tvqa_test_evaluator}},
    how2qa={{_base_.how2qa_test_evaluator}},
    tvc={{_base_.tvc_test_evaluator}},
    yc2c={{_base_.yc2c_test_evaluator}},
)
