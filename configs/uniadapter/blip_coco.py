# UniAdapter (r = 512, key/value adapters) on BLIP, COCO Karpathy 5k, 384 px, 8 GPUs x 32 images, as released.
_base_ = [
    '../_base_/models/blip_base.py',
    '../_base_/datasets/coco_retrieval.py',
    '../_base_/schedules/adamw_cosine_6e.py',
    '../_base_/default_runtime.py',
]
base = 'https://storage.googleapis.com/sfr-vision-language-research/BLIP/models/model_base_vqa_capfilt_large.pth'
model = dict(
    vision=dict(img_size=384),
    adapter=dict(type='UniAdapter', bottleneck=512, kv_bottleneck=64),
    base_checkpoint=dict(source=base),
)
test_cfg = dict(folds=5)  # the mean over five folds of 1k images, beside 5k
