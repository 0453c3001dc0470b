# TVQA (122,039 / 15,253 / 15,253 questions, five choices) and How2QA (34,187 / 3,115 / 3,095, four choices) for
# sequence-to-sequence models, from VALUE's annotations, subtitles and stored CLIP-ViT features (docs/data.md). Test
# answers are not public: they go to VALUE's server.
#   data/vlpet/video/ann/{tv,how2}_subtitles.jsonl
#   data/vlpet/video/ann/tvqa/tvqa_{train,val,test_release}.jsonl
#   data/vlpet/video/ann/how2qa/how2qa_{train,val,test_public}_release.jsonl
#   data/vlpet/video/vis_features/{tv,how2}/clip-vit/{vid_name}.npz
# Subtitles come last, where truncation to 600 tokens cuts nothing else; in the release they come first:
# vl_pet/vlpet-large_bart-base_video_released.py.

tvqa_data_root = 'data/vlpet/'
tvqa_features = dict(
    type='LoadFeatures', reader=dict(type='NPZReader', root='data/vlpet/video/vis_features/tv/clip-vit'), length=64
)
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

how2qa_data_root = 'data/vlpet/'
how2qa_features = dict(
    type='LoadFeatures', reader=dict(type='NPZReader', root='data/vlpet/video/vis_features/how2/clip-vit'), length=64
)
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
