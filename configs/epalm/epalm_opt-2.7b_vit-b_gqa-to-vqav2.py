# Transfer: as epalm_opt-2.7b_vit-b_gqa.py, tested on VQA v2's karpathy_test (26,280 questions) without having seen VQA
# v2:
#   data/epalm/vqa/{karpathy_test.json, v2_mscoco_val2014_annotations.json}, data/epalm/COCO/images/val2014/…
_base_ = './epalm_opt-2.7b_vit-b_gqa.py'
test_dataloader = dict(
    batch_size=64,
    dataset=dict(
        _delete_=True,
        type='VQAv2',
        data_root='data/epalm/',
        ann_file='vqa/karpathy_test.json',
        annotations='vqa/v2_mscoco_val2014_annotations.json',
        data_prefix=dict(media='COCO/images'),
        test_mode=True,
        pipeline={{_base_.test_pipeline}},
    ),
)
test_evaluator = [dict(type='VQAMetric'), dict(type='VQAMetric', rule='vlt5', prefix='vlt5')]
