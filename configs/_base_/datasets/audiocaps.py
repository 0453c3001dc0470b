# AudioCaps captioning (49,838 / 495 / 975 clips of about 10 s; docs/data.md, "Audio"):
#   data/audiocaps/annotation/audiocaps_caption_{train,val,test}.json
#   data/audiocaps/audios/{train,val,test}/rqfQRErjfk8.wav …
# Sounds are resampled to 16 kHz, what AST was trained on; dict(type='LoadAudio', sample_rate=None) is as released.
caption_data_root = 'data/audiocaps/'
caption_load = dict(type='LoadAudio', sample_rate=16000)
caption_fbank = dict(type='Fbank', length=1024, bins=128)
caption_normalise = dict(type='NormaliseFbank')
caption_text = dict(type='ComposeText', template='')
caption_pack = dict(type='PackSample', task='caption')
caption_train_pipeline = [
    caption_load,
    caption_fbank,
    dict(type='SpecAugment', bins=24, frames=96),
    caption_normalise,
    dict(type='DrawTarget'),
    caption_text,
    caption_pack,
]
caption_test_pipeline = [caption_load, caption_fbank, caption_normalise, caption_text, caption_pack]

caption_train_set = dict(
    type='AudioCaps',
    data_root=caption_data_root,
    ann_file='annotation/audiocaps_caption_train.json',
    pipeline=caption_train_pipeline,
)
caption_val_set = dict(
    type='AudioCaps',
    data_root=caption_data_root,
    ann_file='annotation/audiocaps_caption_val.json',
    test_mode=True,
    pipeline=caption_test_pipeline,
)
caption_test_set = dict(
    type='AudioCaps',
    data_root=caption_data_root,
    ann_file='annotation/audiocaps_caption_test.json',
    test_mode=True,
    pipeline=caption_test_pipeline,
)
caption_val_evaluator = dict(type='CaptionMetric', references='joint')
caption_test_evaluator = dict(type='CaptionMetric', references='joint')
