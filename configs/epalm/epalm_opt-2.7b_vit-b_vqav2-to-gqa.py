# Transfer: as epalm_opt-2.7b_vit-b_vqav2.py, tested on GQA's testdev (12,578 questions) without having seen GQA:
#   data/epalm/GQA/{testdev.json, images/n161313.jpg, …}
_base_ = './epalm_opt-2.7b_vit-b_vqav2.py'
test_dataloader = dict(
    batch_size=128,
    dataset=dict(
        _delete_=True,
        type='GQA',
        data_root='data/epalm/',
        ann_file='GQA/testdev.json',
        data_prefix=dict(media='GQA/images'),
        test_mode=True,
        pipeline={{_base_.test_pipeline}},
    ),
)
test_evaluator = dict(_delete_=True, type='LabelScoreMetric', normalise='vqa')
