# Own images with questions for VLSeq2Seq with a vision tower (docs/own_data.md): JSON lines or a list, paths relative
# to data_root; a question may be about several images of one number. Answers are generated, so there is no closed list.
#   data/own/{train.jsonl, test.jsonl, …}    {"image": "stills/car.jpg", "question": "which colour?", "answer": "red"}
_base_ = './jsonl_caption.py'
question_text = dict(type='ComposeText', template='vqa: {question}')
pack = dict(type='PackSample', task='vqa')
train_pipeline = [dict(type='LoadImages', size=224), dict(type='DrawTarget'), question_text, pack]
test_pipeline = [dict(type='LoadImages', size=224), question_text, pack]

train_dataloader = dict(dataset=dict(type='JSONLQA', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(type='JSONLQA', pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='OpenEndedMetric')
test_evaluator = val_evaluator
