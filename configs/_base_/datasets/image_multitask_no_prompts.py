# As image_multitask.py without task prompts, as full fine-tuning is released: the encoder reads bare questions and
# statements, and for captions nothing but the image.
_base_ = './image_multitask.py'
vqa_text = dict(type='ComposeText', template='{question}')
gqa_text = dict(type='ComposeText', template='{question}')
nlvr2_text = dict(type='ComposeText', template='{statement}')
caption_text = dict(type='ComposeText', template='')
vqa_train_pipeline = [*_base_.vqa_train_pipeline[:-2], vqa_text, _base_.vqa_pack]
gqa_train_pipeline = [*_base_.gqa_train_pipeline[:-2], gqa_text, _base_.gqa_pack]
nlvr2_train_pipeline = [*_base_.nlvr2_train_pipeline[:-2], nlvr2_text, _base_.nlvr2_pack]
caption_train_pipeline = [*_base_.caption_train_pipeline[:-2], caption_text, _base_.caption_pack]
test_pipelines = dict(
    vqa=dict(dataset=dict(pipeline=[_base_.vqa_features, vqa_text, _base_.vqa_pack])),
    gqa=dict(dataset=dict(pipeline=[_base_.gqa_test_features, gqa_text, _base_.gqa_pack])),
    nlvr2=dict(dataset=dict(pipeline=[_base_.nlvr2_features, nlvr2_text, _base_.nlvr2_pack])),
    caption=dict(dataset=dict(pipeline=[_base_.caption_features, caption_text, _base_.caption_pack])),
)
train_dataloader = dict(
    dataset=dict(
        tasks=dict(
            vqa=dict(pipeline=vqa_train_pipeline),
            gqa=dict(datasets=[dict(part, pipeline=gqa_train_pipeline) for part in _base_.gqa_train_set.datasets]),
            nlvr2=dict(pipeline=nlvr2_train_pipeline),
            caption=dict(pipeline=caption_train_pipeline),
        )
    )
)
val_dataloader = test_pipelines
test_dataloader = test_pipelines
