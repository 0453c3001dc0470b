# UniAdapter on DINOv2 ViT-B/14 with BLIP's text model, which meets these vision tokens for the first time: key/value
# adapters let its cross-attentions read them.
_base_ = './blip_msrvtt.py'
model = dict(
    data_preprocessor=dict(type='ClipDataPreprocessor', mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)),
    vision=dict(
        _delete_=True,
        type='mmpretrain.VisionTransformer',
        arch='base',
        img_size=224,
        patch_size=14,
        layer_scale_init_value=1e-5,
        out_type='raw',
        final_norm=True,
    ),
    adapter=dict(kv_bottleneck=64),
    base_checkpoint=dict(
        _delete_=True,
        vision=dict(
            source='https://mmassets.onedl.ai/mmpretrain/v1.0/dinov2/'
            'vit-base-p14_dinov2-pre_3rdparty_20230426-ba246503.pth'
        ),
        text=dict(source='https://storage.googleapis.com/sfr-vision-language-research/BLIP/models/model_base.pth'),
    ),
)
