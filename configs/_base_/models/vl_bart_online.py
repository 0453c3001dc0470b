# As vl_bart.py, from the images themselves: a frozen CLIP ViT-B/16 computes the features.
_base_ = './vl_bart.py'
model = dict(
    feature_width=768,
    vision=dict(
        type='mmpretrain.VisionTransformer',
        arch='base',
        img_size=224,
        patch_size=16,
        out_type='raw',
        pre_norm=True,
        layer_cfgs=dict(act_cfg=dict(type='mmpretrain.QuickGELU')),
    ),
    base_checkpoint=dict(
        vision=dict(source='https://huggingface.co/openai/clip-vit-base-patch16/resolve/main/pytorch_model.bin')
    ),
)
