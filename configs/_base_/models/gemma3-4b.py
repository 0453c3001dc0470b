# Gemma3-4B-it (Gemma Team, 2025): SigLIP-SO400M at 896 px and Gemma3-4B, 4,300,079,472 parameters.
# The geometry is from public sources; when weights are loaded, it is compared with their config.json.
# https://huggingface.co/google/gemma-3-4b-it (after its terms are accepted)
model = dict(
    type='ImageTextLM',
    model=dict(
        model_type='gemma3',
        text_config=dict(
            model_type='gemma3_text',
            vocab_size=262208,
            hidden_size=2560,
            intermediate_size=10240,
            num_hidden_layers=34,
            num_attention_heads=8,
            num_key_value_heads=4,
            head_dim=256,
            query_pre_attn_scalar=256,
            sliding_window=1024,
            max_position_embeddings=131072,
            rope_scaling=dict(rope_type='linear', factor=8.0),
        ),
        vision_config=dict(
            model_type='siglip_vision_model',
            hidden_size=1152,
            intermediate_size=4304,
            num_hidden_layers=27,
            num_attention_heads=16,
            image_size=896,
            patch_size=14,
            vision_use_head=False,
        ),
        mm_tokens_per_image=256,
        image_token_index=262144,
        boi_token_index=255999,
        eoi_token_index=256000,
        eos_token_id=[1, 106],
    ),
    processor='google/gemma-3-4b-it',
    tasks=dict(
        vqa=dict(max_new_tokens=10),
        chat=dict(max_new_tokens=256),
        caption=dict(output='pred_caption', max_new_tokens=40),
    ),
    gradient_checkpointing=('lm',),
    base_checkpoint=dict(source='google/gemma-3-4b-it'),
)
# Every image is 256 tokens.
packing = dict()
