# As how2qa.py with the texts in the release's order: truncation to 600 tokens cuts what follows long subtitles.
_base_ = './how2qa.py'
how2qa_text = dict(
    type='ComposeText', template='[Subs] {subtitles} [Q] {question} [TS] ({ts}) [Choices] {choices} how2qa: ')
how2qa_train_pipeline = [_base_.how2qa_features, dict(type='DrawTarget'), how2qa_text, _base_.how2qa_pack]
how2qa_test_pipeline = [_base_.how2qa_features, how2qa_text, _base_.how2qa_pack]
how2qa_train_set = dict(pipeline=how2qa_train_pipeline)
how2qa_val_set = dict(pipeline=how2qa_test_pipeline)
how2qa_test_set = dict(pipeline=how2qa_test_pipeline)
