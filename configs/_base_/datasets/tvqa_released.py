# As tvqa.py with the texts in the release's order: truncation to 600 tokens cuts what follows long subtitles.
_base_ = './tvqa.py'
tvqa_text = dict(
    type='ComposeText', template='[Subs] {subtitles} [Q] {question} [TS] ({ts}) [Choices] {choices} tvqa: ')
tvqa_train_pipeline = [_base_.tvqa_features, dict(type='DrawTarget'), tvqa_text, _base_.tvqa_pack]
tvqa_test_pipeline = [_base_.tvqa_features, tvqa_text, _base_.tvqa_pack]
tvqa_train_set = dict(pipeline=tvqa_train_pipeline)
tvqa_val_set = dict(pipeline=tvqa_test_pipeline)
tvqa_test_set = dict(pipeline=tvqa_test_pipeline)
