# UniAdapter on BLIP with ViT-L/16: 24 x 1024 beside BERT's 12 x 768, so each tower has adapters of its own.
_base_ = './blip_msrvtt.py'
model = dict(
    vision=dict(arch='large'),
    text=dict(context_width=1024),
    itc_head=dict(vision_width=1024),
    adapter=dict(share='none'),
    base_checkpoint=dict(
        source='https://storage.googleapis.com/sfr-vision-language-research/BLIP/models/model_large.pth'
    ),
)
