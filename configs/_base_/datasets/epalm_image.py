# Images at 224 px for eP-ALM: the loaders of one task, and the steps that come before the texts. The model normalises.
_base_ = './seq2seq_loaders.py'
image_train = [
    dict(type='LoadClip', num_frames=1),
    dict(type='ClipRandomResizedCrop', size=224, scale=(0.5, 1.0)),
    # Images of questions and captions about left and right are not mirrored; the release mirrors them, too.
    dict(type='ClipRandomFlip', prob=0.5, keep_sides=True),
    dict(type='ClipRandAugment', num_ops=2, magnitude=7, prob=0.5),
]
image_test = [dict(type='LoadClip', num_frames=1), dict(type='ClipResize', size=224)]
