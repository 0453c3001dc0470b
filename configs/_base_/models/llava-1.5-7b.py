# LLaVA-1.5-7B (Liu et al., CVPR 2024): CLIP ViT-L/14 at 336 px and Vicuna-7B, 7,063,427,072 parameters. The last vision
# block is not read. The geometry is from public sources; when weights are loaded, it is compared with their
# config.json.
# https://huggingface.co/llava-hf/llava-1.5-7b-hf
model = dict(
    type='ImageTextLM',
    model=dict(
        model_type='llava',
        text_config=dict(
            model_type='llama',
            vocab_size=32064,
            hidden_size=4096,
            intermediate_size=11008,
            num_hidden_layers=32,
            num_attention_heads=32,
            num_key_value_heads=32,
            max_position_embeddings=4096,
            rms_norm_eps=1e-5,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=32001,
            tie_word_embeddings=False,
        ),
        vision_config=dict(
            model_type='clip_vision_model',
            hidden_size=1024,
            intermediate_size=4096,
            num_hidden_layers=24,
            num_attention_heads=16,
            image_size=336,
            patch_size=14,
            projection_dim=768,
        ),
        image_token_index=32000,
        vision_feature_layer=-2,
        vision_feature_select_strategy='default',
        projector_hidden_act='gelu',
        tie_word_embeddings=False,
    ),
    processor='llava-hf/llava-1.5-7b-hf',
    tasks=dict(
        vqa=dict(max_new_tokens=10),
        chat=dict(max_new_tokens=256),
        caption=dict(output='pred_caption', max_new_tokens=40),
    ),
    gradient_checkpointing=('lm',),
    base_checkpoint=dict(source='llava-hf/llava-1.5-7b-hf'),
)
# Every image is 576 tokens.
packing = dict()
