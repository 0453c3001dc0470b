# BLIP-base for retrieval: ViT-B/16 at 224 px and BERT-base with cross-attention.
# `base_checkpoint` is BLIP's 14M-image + web pretraining without a task; a path or URL of any known layout works.
model = dict(
    type='Retriever',
    vision=dict(
        type='mmpretrain.VisionTransformer', arch='base', img_size=224, patch_size=16, out_type='raw', final_norm=True
    ),
    text=dict(
        type='BlipTextEncoder',
        vocab_size=30524,
        width=768,
        depth=12,
        heads=12,
        hidden=3072,
        context_width=768,
        dropout=0.1,
    ),
    vocabulary='bert-base-uncased',
    itc_head=dict(type='ITCHead', vision_width=768, text_width=768, embed_width=256, queue_size=57600, alpha=0.4),
    itm_head=dict(type='ITMHead', width=768),
    momentum=dict(decay=0.995),
    base_checkpoint=dict(
        source='https://storage.googleapis.com/sfr-vision-language-research/BLIP/models/model_base.pth'
    ),
)
