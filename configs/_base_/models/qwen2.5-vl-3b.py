# Qwen2.5-VL-3B-Instruct (Bai et al., 2025): 3,754,622,976 parameters. The geometry, by which counts and
# estimates need no download, is from public sources; when weights are loaded, it is compared with their config.json.
# https://huggingface.co/Qwen/Qwen2.5-VL-3B-Instruct
model = dict(
    type='ImageTextLM',
    model=dict(
        model_type='qwen2_5_vl',
        text_config=dict(
            vocab_size=151936,
            hidden_size=2048,
            intermediate_size=11008,
            num_hidden_layers=36,
            num_attention_heads=16,
            num_key_value_heads=2,
            max_position_embeddings=128000,
            max_window_layers=70,
            sliding_window=32768,
            rms_norm_eps=1e-6,
            rope_theta=1000000.0,
            rope_scaling=dict(type='mrope', mrope_section=[16, 24, 24]),
            bos_token_id=151643,
            eos_token_id=151645,
            tie_word_embeddings=True,
        ),
        vision_config=dict(
            depth=32,
            hidden_size=1280,
            intermediate_size=3420,
            num_heads=16,
            out_hidden_size=2048,
            patch_size=14,
            spatial_merge_size=2,
            temporal_patch_size=2,
            window_size=112,
            fullatt_block_indexes=[7, 15, 23, 31],
            tokens_per_second=2,
        ),
        image_token_id=151655,
        video_token_id=151656,
        vision_start_token_id=151652,
        vision_end_token_id=151653,
        tie_word_embeddings=True,
    ),
    processor='Qwen/Qwen2.5-VL-3B-Instruct',
    tasks=dict(
        vqa=dict(max_new_tokens=10),
        chat=dict(max_new_tokens=256),
        caption=dict(output='pred_caption', max_new_tokens=40),
    ),
    gradient_checkpointing=('lm',),
    base_checkpoint=dict(source='Qwen/Qwen2.5-VL-3B-Instruct'),
)
# Images as they are up to 512 tokens of 28 x 28 pixels; the hub's own limit is 16,384.
packing = dict(image_options=dict(min_pixels=3136, max_pixels=401408))
