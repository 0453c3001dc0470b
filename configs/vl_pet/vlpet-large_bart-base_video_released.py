# vlpet-large_bart-base_video.py as released (docs/reproducing.md): subtitles before questions, so that cutting to 600
# tokens removes what follows long subtitles; AdamW of transformers 4.2, and an order of samples and tasks that does not
# follow the run's seed.
_base_ = './vlpet-large_bart-base_video.py'
question = '[Subs] {subtitles} [Q] {question} [TS] ({ts}) [Choices] {choices} '
tvqa_text = dict(type='ComposeText', template=question + 'tvqa: ')
how2qa_text = dict(type='ComposeText', template=question + 'how2qa: ')
tvc_text = dict(type='ComposeText', template='[Subs] {subtitles} [TS] ({ts}) tvc: ')
yc2c_text = dict(type='ComposeText', template='[Subs] {subtitles} yc2c: ')
train_dataloader = dict(
    sampler=dict(seed=0),
    dataset=dict(
        tasks=dict(
            tvqa=dict(pipeline=[*_base_.tvqa_train_pipeline[:-2], tvqa_text, _base_.tvqa_pack]),
            how2qa=dict(pipeline=[*_base_.how2qa_train_pipeline[:-2], how2qa_text, _base_.how2qa_pack]),
            tvc=dict(pipeline=[*_base_.tvc_train_pipeline[:-2], tvc_text, _base_.tvc_pack]),
            yc2c=dict(pipeline=[*_base_.yc2c_train_pipeline[:-2], yc2c_text, _base_.yc2c_pack]),
        )
    ),
)
val_dataloader = dict(
    tvqa=dict(dataset=dict(pipeline=[_base_.tvqa_features, tvqa_text, _base_.tvqa_pack])),
    how2qa=dict(dataset=dict(pipeline=[_base_.how2qa_features, how2qa_text, _base_.how2qa_pack])),
    tvc=dict(dataset=dict(pipeline=[_base_.tvc_features, tvc_text, _base_.tvc_pack])),
    yc2c=dict(dataset=dict(pipeline=[_base_.yc2c_features, yc2c_text, _base_.yc2c_pack])),
)
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(type='HFAdamW'))
