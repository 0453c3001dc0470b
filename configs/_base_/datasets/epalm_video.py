# Videos at 224 px for eP-ALM: the loaders of one task, and the steps between the frames and the texts. Training draws
# one frame in each of T segments, a test takes their middles.
_base_ = './seq2seq_loaders.py'
video_augment = [
    dict(type='ClipRandomResizedCrop', size=224, scale=(0.5, 1.0)),
    # Videos of questions and captions about left and right are not mirrored; the release mirrors them, too.
    dict(type='ClipRandomFlip', prob=0.5, keep_sides=True),
    dict(type='ClipTorchvisionRandAugment', num_ops=2, magnitude=9),
]
video_resize = dict(type='ClipResize', size=224)
