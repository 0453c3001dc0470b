# AudioCaps captioning (49,838 / 495 / 975 clips of about 10 s; docs/data.md, "Audio") with the release's batch sizes:
#   data/audiocaps/annotation/audiocaps_caption_{train,val,test}.json
#   data/audiocaps/audios/{train,val,test}/rqfQRErjfk8.wav …
# Sounds are resampled to 16 kHz, what AST was trained on; dict(type='LoadAudio', sample_rate=None) is as released.
_base_ = './seq2seq_loaders.py'
data_root = 'data/audiocaps/'
load = dict(type='LoadAudio', sample_rate=16000)
fbank = dict(type='Fbank', length=1024, bins=128)
normalise = dict(type='NormaliseFbank')
caption_text = dict(type='ComposeText', template='')
pack = dict(type='PackSample', task='caption')
train_pipeline = [
    load,
    fbank,
    dict(type='SpecAugment', bins=24, frames=96),
    normalise,
    dict(type='DrawTarget'),
    caption_text,
    pack,
]
test_pipeline = [load, fbank, normalise, caption_text, pack]
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        type='AudioCaps',
        data_root=data_root,
        ann_file='annotation/audiocaps_caption_train.json',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=64,
    dataset=dict(
        type='AudioCaps',
        data_root=data_root,
        ann_file='annotation/audiocaps_caption_val.json',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=64,
    dataset=dict(
        type='AudioCaps',
        data_root=data_root,
        ann_file='annotation/audiocaps_caption_test.json',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(type='CaptionMetric', references='joint')
test_evaluator = val_evaluator
