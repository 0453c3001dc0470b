# How2QA (34,187 / 3,115 / 3,095 questions, four choices) for sequence-to-sequence models, from VALUE's annotations,
# subtitles and stored CLIP-ViT features (docs/data.md). Test answers are not public: they go to VALUE's server.
#   data/vlpet/video/ann/{how2_subtitles.jsonl, how2qa/}    how2qa_{train,val,test_public}_release.jsonl
#   data/vlpet/video/vis_features/how2/clip-vit/{vid_name}.npz
how2qa_data_root = 'data/vlpet/'
how2qa_features = dict(
    type='LoadFeatures', reader=dict(type='NPZReader', root='data/vlpet/video/vis_features/how2/clip-vit'), length=64
)
# Subtitles come last, where truncation to 600 tokens cuts nothing else;
# vl_pet/vlpet-large_bart-base_video_released.py has the release's order.
how2qa_text = dict(
    type='ComposeText', template='how2qa: [Q] {question} [TS] ({ts}) [Choices] {choices} [Subs] {subtitles}'
)
how2qa_pack = dict(type='PackSample', task='how2qa')
how2qa_train_pipeline = [how2qa_features, dict(type='DrawTarget'), how2qa_text, how2qa_pack]
how2qa_test_pipeline = [how2qa_features, how2qa_text, how2qa_pack]

how2qa_train_set = dict(
    type='VALUEQuestions',
    data_root=how2qa_data_root,
    ann_file='video/ann/how2qa/how2qa_train_release.jsonl',
    subtitles='video/ann/how2_subtitles.jsonl',
    num_choices=4,
    pipeline=how2qa_train_pipeline,
)
how2qa_val_set = dict(
    type='VALUEQuestions',
    data_root=how2qa_data_root,
    ann_file='video/ann/how2qa/how2qa_val_release.jsonl',
    subtitles='video/ann/how2_subtitles.jsonl',
    num_choices=4,
    test_mode=True,
    pipeline=how2qa_test_pipeline,
)
how2qa_test_set = dict(
    type='VALUEQuestions',
    data_root=how2qa_data_root,
    ann_file='video/ann/how2qa/how2qa_test_public_release.jsonl',
    subtitles='video/ann/how2_subtitles.jsonl',
    num_choices=4,
    test_mode=True,
    pipeline=how2qa_test_pipeline,
)
how2qa_val_evaluator = dict(type='OpenEndedMetric')
how2qa_test_evaluator = dict(
    type='VALUESubmission', task='how2qa', out_file='work_dirs/how2qa_test_public_predictions.json'
)
