# Images and videos at 224 px for eP-ALM: the loaders of one task, and the steps that come before the texts. The model
# normalises. Of a video training draws one frame in each of T segments, a test takes their middles.
_base_ = './seq2seq_loaders.py'
crop = dict(type='ClipRandomResizedCrop', size=224, scale=(0.5, 1.0))
# Clips of questions and captions about left and right are not mirrored; released recipes mirror them, too.
flip = dict(type='ClipRandomFlip', prob=0.5, keep_sides=True)
resize = dict(type='ClipResize', size=224)
image_train = [
    dict(type='LoadClip', num_frames=1),
    crop,
    flip,
    dict(type='ClipRandAugment', num_ops=2, magnitude=7, prob=0.5),
]
image_test = [dict(type='LoadClip', num_frames=1), resize]
video_augment = [crop, flip, dict(type='ClipTorchvisionRandAugment', num_ops=2, magnitude=9)]
