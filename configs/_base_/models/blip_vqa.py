# BLIP-base for question answering: ViT-B/16, BERT-base with cross-attention, and a decoder of the same form.
bert = dict(vocab_size=30524, width=768, depth=12, heads=12, hidden=3072, context_width=768, dropout=0.1)
model = dict(
    type='GenerativeVQA',
    vision=dict(
        type='mmpretrain.VisionTransformer', arch='base', img_size=224, patch_size=16, out_type='raw', final_norm=True
    ),
    text=dict(type='BlipTextEncoder', **bert),
    decoder=dict(type='BlipTextDecoder', **bert),
    vocabulary='bert-base-uncased',
    base_checkpoint=dict(
        source='https://storage.googleapis.com/sfr-vision-language-research/BLIP/models/model_vqa.pth'
    ),
)
