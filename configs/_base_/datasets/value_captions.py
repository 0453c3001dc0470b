# TVC (86,603 moments in train, 10,895 in val) and YC2C (descriptions of cooking videos) for sequence-to-sequence
# models, from VALUE's annotations, subtitles and stored CLIP-ViT features (docs/data.md). Test answers are not public:
# they go to VALUE's server.
#   data/vlpet/video/ann/{tv,yc2}_subtitles.jsonl
#   data/vlpet/video/ann/{tvc,yc2c}/{tvc,yc2c}_{train,val,test}_release.jsonl
#   data/vlpet/video/vis_features/{tv,yc2}/clip-vit/{vid_name}.npz
# Subtitles come last, where truncation to 600 tokens cuts nothing else; in the release they come first:
# vl_pet/vlpet-large_bart-base_video_released.py.

tvc_data_root = 'data/vlpet/'
tvc_features = dict(
    type='LoadFeatures', reader=dict(type='NPZReader', root='data/vlpet/video/vis_features/tv/clip-vit'), length=64
)
tvc_text = dict(type='ComposeText', template='tvc: [TS] ({ts}) [Subs] {subtitles}')
tvc_pack = dict(type='PackSample', task='tvc')
tvc_train_pipeline = [tvc_features, dict(type='DrawTarget'), tvc_text, tvc_pack]
tvc_test_pipeline = [tvc_features, tvc_text, tvc_pack]

tvc_train_set = dict(
    type='VALUECaptions',
    data_root=tvc_data_root,
    ann_file='video/ann/tvc/tvc_train_release.jsonl',
    subtitles='video/ann/tv_subtitles.jsonl',
    pipeline=tvc_train_pipeline,
)
tvc_val_set = dict(
    type='VALUECaptions',
    data_root=tvc_data_root,
    ann_file='video/ann/tvc/tvc_val_release.jsonl',
    subtitles='video/ann/tv_subtitles.jsonl',
    test_mode=True,
    pipeline=tvc_test_pipeline,
)
tvc_test_set = dict(
    type='VALUECaptions',
    data_root=tvc_data_root,
    ann_file='video/ann/tvc/tvc_test_release.jsonl',
    subtitles='video/ann/tv_subtitles.jsonl',
    test_mode=True,
    pipeline=tvc_test_pipeline,
)
tvc_val_evaluator = dict(type='CaptionMetric', references='separate')
tvc_test_evaluator = dict(type='VALUESubmission', task='tvc', out_file='work_dirs/tvc_test_predictions.jsonl')

yc2c_data_root = 'data/vlpet/'
yc2c_features = dict(
    type='LoadFeatures', reader=dict(type='NPZReader', root='data/vlpet/video/vis_features/yc2/clip-vit'), length=64
)
yc2c_text = dict(type='ComposeText', template='yc2c: [Subs] {subtitles}')
yc2c_pack = dict(type='PackSample', task='yc2c')
yc2c_train_pipeline = [yc2c_features, dict(type='DrawTarget'), yc2c_text, yc2c_pack]
yc2c_test_pipeline = [yc2c_features, yc2c_text, yc2c_pack]

yc2c_train_set = dict(
    type='VALUECaptions',
    data_root=yc2c_data_root,
    ann_file='video/ann/yc2c/yc2c_train_release.jsonl',
    subtitles='video/ann/yc2_subtitles.jsonl',
    pipeline=yc2c_train_pipeline,
)
yc2c_val_set = dict(
    type='VALUECaptions',
    data_root=yc2c_data_root,
    ann_file='video/ann/yc2c/yc2c_val_release.jsonl',
    subtitles='video/ann/yc2_subtitles.jsonl',
    test_mode=True,
    pipeline=yc2c_test_pipeline,
)
yc2c_test_set = dict(
    type='VALUECaptions',
    data_root=yc2c_data_root,
    ann_file='video/ann/yc2c/yc2c_test_release.jsonl',
    subtitles='video/ann/yc2_subtitles.jsonl',
    test_mode=True,
    pipeline=yc2c_test_pipeline,
)
yc2c_val_evaluator = dict(type='CaptionMetric', references='separate')
yc2c_test_evaluator = dict(type='VALUESubmission', task='yc2c', out_file='work_dirs/yc2c_test_predictions.jsonl')
