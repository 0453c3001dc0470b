# As epalm_vqav2.py with one question mark at the end of the question, however many the file has.
_base_ = './epalm_vqav2.py'
question_text = dict(type='ComposeText', template='{question}?</a>', rstrip='? ')
train_pipeline = [*_base_.image_train, dict(type='DrawTarget'), question_text, _base_.pack]
test_pipeline = [*_base_.image_test, question_text, _base_.pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
