# SmolVLM2-2.2B-Instruct (Marafioti et al., 2025): SigLIP-SO400M at 384 px and SmolLM2-1.7B, 2,246,784,880 parameters.
# The geometry is from public sources; when weights are loaded, it is compared with their config.json.
# https://huggingface.co/HuggingFaceTB/SmolVLM2-2.2B-Instruct
model = dict(
    type='ImageTextLM',
    model=dict(
        model_type='smolvlm',
        text_config=dict(
            model_type='llama',
            vocab_size=49280,
            hidden_size=2048,
            intermediate_size=8192,
            num_hidden_layers=24,
            num_attention_heads=32,
            num_key_value_heads=32,
            max_position_embeddings=8192,
            rms_norm_eps=1e-5,
            rope_theta=130000.0,
            bos_token_id=1,
            eos_token_id=49279,
            pad_token_id=2,
            tie_word_embeddings=False,
        ),
        vision_config=dict(
            hidden_size=1152,
            intermediate_size=4304,
            num_hidden_layers=27,
            num_attention_heads=16,
            image_size=384,
            patch_size=14,
        ),
        scale_factor=3,
        image_token_id=49190,
        pad_token_id=2,
        tie_word_embeddings=False,
    ),
    processor='HuggingFaceTB/SmolVLM2-2.2B-Instruct',
    tasks=dict(
        vqa=dict(max_new_tokens=10),
        chat=dict(max_new_tokens=256),
        caption=dict(output='pred_caption', max_new_tokens=40),
    ),
    gradient_checkpointing=('lm',),
    base_checkpoint=dict(source='HuggingFaceTB/SmolVLM2-2.2B-Instruct'),
)
# One image is one tile of 81 tokens. With the hub's splitting it is up to 17 tiles, which reads small print.
packing = dict(image_options=dict(do_image_splitting=False))
