# VQA v2 with its validation set held out: train on train and Visual Genome, accuracy on val, at 480 px, from BLIP's
# files (docs/data.md). For types of questions and answers add annotations='v2_mscoco_val2014_annotations.json'.
#   data/coco/{vqa_train.json, vqa_val.json, vg_qa.json, answer_list.json, train2014/, val2014/}
#   data/visual_genome/image/…
_base_ = './jsonl_qa.py'
data_root = 'data/coco/'
visual_genome = '../visual_genome/'
num_frames = 1
image_size = 480

# The flip is the release's, although it exchanges left and right in the picture and not in the answer.
train_pipeline = [
    dict(type='LoadClip', num_frames=num_frames, sampling='random'),
    dict(type='ClipRandomResizedCrop', size=image_size, scale=(0.5, 1.0)),
    dict(type='ClipRandomFlip', prob=0.5),
    dict(type='ClipRandAugment', num_ops=2, magnitude=5),
    dict(type='CleanQuestion', max_words=50),
    dict(type='PackSample'),
]
test_pipeline = [
    dict(type='LoadClip', num_frames=num_frames, sampling='middle'),
    dict(type='ClipResize', size=image_size),
    dict(type='CleanQuestion', max_words=50),
    dict(type='PackSample'),
]
train_set = dict(type='VQAv2', data_root=data_root, ann_file='vqa_train.json', pipeline=train_pipeline)
visual_genome_set = dict(
    type='VQAv2',
    data_root=data_root,
    ann_file='vg_qa.json',
    data_prefix=dict(media=visual_genome),
    pipeline=train_pipeline,
)
val_set = dict(
    type='VQAv2',
    data_root=data_root,
    ann_file='vqa_val.json',
    answer_file='answer_list.json',
    answers_from=None,
    test_mode=True,
    pipeline=test_pipeline,
)

train_dataloader = dict(
    batch_size=16, dataset=dict(_delete_=True, type='ConcatDataset', datasets=[train_set, visual_genome_set])
)
val_dataloader = dict(batch_size=16, dataset=val_set)
test_dataloader = dict(batch_size=16, dataset=val_set)
val_evaluator = dict(type='VQAMetric')
test_evaluator = dict(type='VQAMetric')
