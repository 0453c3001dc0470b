# TVQA (122,039 / 15,253 / 15,253 questions, five choices) for sequence-to-sequence models, from VALUE's annotations,
# subtitles and stored CLIP-ViT features (docs/data.md). Test answers are not public: they go to VALUE's server.
#   data/vlpet/video/ann/{tv_subtitles.jsonl, tvqa/}    tvqa_{train,val,test_release}.jsonl
#   data/vlpet/video/vis_features/tv/clip-vit/{vid_name}.npz
tvqa_data_root = 'data/vlpet/'
tvqa_features = dict(
    type='LoadFeatures', reader=dict(type='NPZReader', root='data/vlpet/video/vis_features/tv/clip-vit'), length=64
)
# Subtitles come last, where truncation to 600 tokens cuts nothing else;
# vl_pet/vlpet-large_bart-base_video_released.py has the release's order.
tvqa_text = dict(type='ComposeText', template='tvqa: [Q] {question} [TS] ({ts}) [Choices] {choices} [Subs] {subtitles}')
tvqa_pack = dict(type='PackSample', task='tvqa')
tvqa_train_pipeline = [tvqa_features, dict(type='DrawTarget'), tvqa_text, tvqa_pack]
tvqa_test_pipeline = [tvqa_features, tvqa_text, tvqa_pack]

tvqa_train_set = dict(
    type='VALUEQuestions',
    data_root=tvqa_data_root,
    ann_file='video/ann/tvqa/tvqa_train.jsonl',
    subtitles='video/ann/tv_subtitles.jsonl',
    num_choices=5,
    pipeline=tvqa_train_pipeline,
)
tvqa_val_set = dict(
    type='VALUEQuestions',
    data_root=tvqa_data_root,
    ann_file='video/ann/tvqa/tvqa_val.jsonl',
    subtitles='video/ann/tv_subtitles.jsonl',
    num_choices=5,
    test_mode=True,
    pipeline=tvqa_test_pipeline,
)
# tvqa_test_release.jsonl holds the questions of tvqa_test_public.jsonl, too; the server wants each once.
tvqa_test_set = dict(
    type='VALUEQuestions',
    data_root=tvqa_data_root,
    ann_file='video/ann/tvqa/tvqa_test_release.jsonl',
    subtitles='video/ann/tv_subtitles.jsonl',
    num_choices=5,
    test_mode=True,
    pipeline=tvqa_test_pipeline,
)
tvqa_val_evaluator = dict(type='OpenEndedMetric')
tvqa_test_evaluator = dict(type='VALUESubmission', task='tvqa', out_file='work_dirs/tvqa_test_predictions.json')
