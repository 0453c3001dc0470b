# As blip_coco.py on Flickr30K, hard negatives from each GPU's own batch, as released.
_base_ = [
    '../_base_/models/blip_base.py',
    '../_base_/datasets/flickr30k_retrieval.py',
    '../_base_/schedules/adamw_cosine_6e.py',
    '../_base_/default_runtime.py',
]
base = 'https://storage.googleapis.com/sfr-vision-language-research/BLIP/models/model_base_vqa_capfilt_large.pth'
model = dict(
    vision=dict(img_size=384),
    adapter=dict(type='UniAdapter', bottleneck=512, kv_bottleneck=64),
    negative_all_rank=False,
    base_checkpoint=dict(source=base),
)
val_cfg = dict(k_test=128)
test_cfg = dict(k_test=128)
