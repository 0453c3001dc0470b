# UniAdapter (r = 512, key/value adapters) on BLIP, VQA v2 with the validation set held out to measure accuracy on,
# 480 px, 8 GPUs x 16 images.
_base_ = [
    '../_base_/models/blip_vqa.py',
    '../_base_/datasets/vqav2.py',
    '../_base_/schedules/adamw_cosine_10e_answering.py',
    '../_base_/answering_runtime.py',
]
base = 'https://storage.googleapis.com/sfr-vision-language-research/BLIP/models/model_base_vqa_capfilt_large.pth'
model = dict(
    vision=dict(img_size=480),
    adapter=dict(type='UniAdapter', bottleneck=512, kv_bottleneck=64, init='normal'),
    base_checkpoint=dict(source=base),
)
