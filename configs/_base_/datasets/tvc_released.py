# As tvc.py with the texts in the release's order: truncation to 600 tokens cuts what follows long subtitles.
_base_ = './tvc.py'
tvc_text = dict(
    type='ComposeText', template='[Subs] {subtitles} [TS] ({ts}) tvc: ')
tvc_train_pipeline = [_base_.tvc_features, dict(type='DrawTarget'), tvc_text, _base_.tvc_pack]
tvc_test_pipeline = [_base_.tvc_features, tvc_text, _base_.tvc_pack]
tvc_train_set = dict(pipeline=tvc_train_pipeline)
tvc_val_set = dict(pipeline=tvc_test_pipeline)
tvc_test_set = dict(pipeline=tvc_test_pipeline)
