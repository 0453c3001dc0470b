# UniAdapter on EVA-02 ViT-B/14 (no final norm, as it was trained) with BLIP's text model; see blip-text_dinov2-b.
_base_ = './blip_msrvtt.py'
model = dict(
    vision=dict(
        _delete_=True,
        type='mmpretrain.ViTEVA02',
        arch='base',
        img_size=224,
        patch_size=14,
        sub_ln=True,
        final_norm=False,
        out_type='raw',
    ),
    adapter=dict(kv_bottleneck=64),
    base_checkpoint=dict(
        _delete_=True,
        vision=dict(
            source='https://mmassets.onedl.ai/mmpretrain/v1.0/eva02/'
            'eva02-base-p14_in21k-pre_in21k-medft_3rdparty_in1k-448px_20230505-5cd4d87f.pth'
        ),
        text=dict(source='https://storage.googleapis.com/sfr-vision-language-research/BLIP/models/model_base.pth'),
    ),
)
