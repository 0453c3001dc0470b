# SigLIP 2 base, a dual encoder: ViT-B/16 at 224 px with a pooling head, and a text model of equal depth and width that
# reads 64 tokens, padding included. Trained and ranked by features alone, with the sigmoid loss of its pretraining.
siglip2 = 'google/siglip2-base-patch16-224'
tower = dict(
    hidden_size=768,
    num_hidden_layers=12,
    num_attention_heads=12,
    intermediate_size=3072,
    hidden_act='gelu_pytorch_tanh',
    layer_norm_eps=1e-6,
)
model = dict(
    type='Retriever',
    data_preprocessor=dict(type='ClipDataPreprocessor', mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5)),
    vision=dict(
        type='TransformersVision', config=dict(tower, model_type='siglip_vision_model', image_size=224, patch_size=16)
    ),
    text=dict(
        type='SiglipTextEncoder',
        config=dict(tower, vocab_size=256000, max_position_embeddings=64, projection_size=768),
    ),
    vocabulary=siglip2,
    max_text_length=64,
    itc_head=dict(type='SigmoidITCHead'),
    itm_head=None,
    base_checkpoint=dict(source=f'https://huggingface.co/{siglip2}/resolve/main/model.safetensors'),
)
