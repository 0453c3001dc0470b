# Own images with questions for PerceptualLM (docs/own_data.md): JSON lines or a list, paths relative to data_root.
# Answers are generated, so there is no closed list.
#   data/own/{train.jsonl, test.jsonl, …}    {"image": "stills/car.jpg", "question": "which colour?", "answer": "red"}
_base_ = './epalm_clips.py'
data_root = 'data/own/'
question_text = dict(type='ComposeText', template='{question}</a>')
pack = dict(type='PackSample', task='vqa')
train_pipeline = [*_base_.image_train, dict(type='DrawTarget'), question_text, pack]
test_pipeline = [*_base_.image_test, question_text, pack]

train_dataloader = dict(
    batch_size=16, dataset=dict(type='JSONLQA', data_root=data_root, ann_file='train.jsonl', pipeline=train_pipeline)
)
val_dataloader = dict(
    batch_size=32,
    dataset=dict(type='JSONLQA', data_root=data_root, ann_file='test.jsonl', test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='OpenEndedMetric')
test_evaluator = val_evaluator
