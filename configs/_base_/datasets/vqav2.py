# VQA v2 as released: train on train, val and Visual Genome without validation, and answer the test questions for the
# server, whose answers are not public; a config names its file (out_file). At 480 px, from BLIP's files (docs/data.md).
#   data/coco/{vqa_train.json, vqa_val.json, vg_qa.json, vqa_test.json, answer_list.json}
#   data/coco/{train2014/, val2014/, test2015/}
#   data/visual_genome/image/…
_base_ = './vqav2_val.py'
data_root = 'data/coco/'
train_val_set = dict(type='VQAv2', data_root=data_root, ann_file='vqa_val.json', pipeline={{_base_.train_pipeline}})
train_dataloader = dict(dataset=dict(datasets=[{{_base_.train_set}}, train_val_set, {{_base_.visual_genome_set}}]))
val_dataloader = None
val_evaluator = None
test_dataloader = dict(dataset=dict(ann_file='vqa_test.json'))
test_evaluator = dict(_delete_=True, type='VQASubmission', out_file='work_dirs/vqav2_submission.json')
