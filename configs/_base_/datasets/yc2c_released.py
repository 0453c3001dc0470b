# As yc2c.py with the texts in the release's order: truncation to 600 tokens cuts what follows long subtitles.
_base_ = './yc2c.py'
yc2c_text = dict(
    type='ComposeText', template='[Subs] {subtitles} yc2c: ')
yc2c_train_pipeline = [_base_.yc2c_features, dict(type='DrawTarget'), yc2c_text, _base_.yc2c_pack]
yc2c_test_pipeline = [_base_.yc2c_features, yc2c_text, _base_.yc2c_pack]
yc2c_train_set = dict(pipeline=yc2c_train_pipeline)
yc2c_val_set = dict(pipeline=yc2c_test_pipeline)
yc2c_test_set = dict(pipeline=yc2c_test_pipeline)
