# Own clips or images with questions (docs/own_data.md): one JSON object a line, paths relative to data_root.
#   data/own/{train.jsonl, test.jsonl, …}    {"video": "clips/cat.mp4", "question": "what sleeps?", "answer": "cat"}
_base_ = './jsonl_retrieval.py'
data_root = 'data/own/'
num_frames = 8
image_size = 224

# The flip is the release's; with questions about left and right, remove it.
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

train_dataloader = dict(dataset=dict(type='JSONLQA', pipeline=train_pipeline))
# The closed answer list: the most frequent answers in training. Or answer_file='answer_list.json', answers_from=None.
val_dataloader = dict(
    dataset=dict(type='JSONLQA', answers_from='train.jsonl', answers_top=1500, pipeline=test_pipeline)
)
test_dataloader = val_dataloader
val_evaluator = dict(type='OpenEndedMetric')
test_evaluator = val_evaluator
