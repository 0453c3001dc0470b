# TVC (86,603 moments in train, 10,895 in val) for sequence-to-sequence models, from VALUE's annotations,
# subtitles and stored CLIP-ViT features (docs/data.md). Test answers are not public: they go to VALUE's server.
#   data/vlpet/video/ann/{tv_subtitles.jsonl, tvc/}    tvc_{train,val,test}_release.jsonl
#   data/vlpet/video/vis_features/tv/clip-vit/{vid_name}.npz
tvc_data_root = 'data/vlpet/'
tvc_features = dict(
    type='LoadFeatures', reader=dict(type='NPZReader', root='data/vlpet/video/vis_features/tv/clip-vit'), length=64
)
# Subtitles come last, where truncation to 600 tokens cuts nothing else;
# vl_pet/vlpet-large_bart-base_video_released.py has the release's order.
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
