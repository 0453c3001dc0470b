# InternVL3-2B (Zhu et al., 2025): InternViT-300M at 448 px and Qwen2.5-1.5B, 2,088,957,440 parameters.
# The geometry, in transformers' layout, is from public sources; when weights are loaded, it is compared with
# their config.json.
# https://huggingface.co/OpenGVLab/InternVL3-2B-hf
model = dict(
    type='ImageTextLM',
    model=dict(
        model_type='internvl',
        text_config=dict(
            model_type='qwen2',
            vocab_size=151674,
            hidden_size=1536,
            intermediate_size=8960,
            num_hidden_layers=28,
            num_attention_heads=12,
            num_key_value_heads=2,
            max_position_embeddings=32768,
            max_window_layers=70,
            rms_norm_eps=1e-6,
            rope_theta=1000000.0,
            rope_scaling=dict(rope_type='dynamic', factor=2.0),
            bos_token_id=151643,
            eos_token_id=151645,
            tie_word_embeddings=False,
        ),
        vision_config=dict(
            model_type='internvl_vision',
            hidden_size=1024,
            intermediate_size=4096,
            num_hidden_layers=24,
            num_attention_heads=16,
            image_size=[448, 448],
            patch_size=[14, 14],
            attention_bias=True,
            norm_type='layer_norm',
            use_qk_norm=False,
        ),
        downsample_ratio=0.5,
        image_token_id=151667,
        tie_word_embeddings=False,
    ),
    processor='OpenGVLab/InternVL3-2B-hf',
    tasks=dict(
        vqa=dict(max_new_tokens=10),
        chat=dict(max_new_tokens=256),
        caption=dict(output='pred_caption', max_new_tokens=40),
    ),
    gradient_checkpointing=('lm',),
    base_checkpoint=dict(source='OpenGVLab/InternVL3-2B-hf'),
)
# One image is one tile of 256 tokens. With the hub's cropping it is up to 13 tiles, which reads small print.
packing = dict(image_options=dict(crop_to_patches=False))
