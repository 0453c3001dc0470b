# PaliGemma2-3B-pt-224 (Steiner et al., 2024): SigLIP-SO400M at 224 px and Gemma2-2B, 3,032,242,416 parameters.
# The geometry is from public sources; when weights are loaded, it is compared with their config.json.
# https://huggingface.co/google/paligemma2-3b-pt-224 (after its terms are accepted)
model = dict(
    type='ImageTextLM',
    model=dict(
        model_type='paligemma',
        text_config=dict(
            model_type='gemma2',
            vocab_size=257216,
            hidden_size=2304,
            intermediate_size=9216,
            num_hidden_layers=26,
            num_attention_heads=8,
            num_key_value_heads=4,
            head_dim=256,
            query_pre_attn_scalar=256,
            sliding_window=4096,
        ),
        vision_config=dict(
            model_type='siglip_vision_model',
            hidden_size=1152,
            intermediate_size=4304,
            num_hidden_layers=27,
            num_attention_heads=16,
            image_size=224,
            patch_size=14,
            projection_dim=2304,
            vision_use_head=False,
        ),
        hidden_size=2304,
        projection_dim=2304,
        image_token_index=257152,
        bos_token_id=2,
        eos_token_id=1,
        pad_token_id=0,
    ),
    processor='google/paligemma2-3b-pt-224',
    tasks=dict(
        vqa=dict(max_new_tokens=10),
        chat=dict(max_new_tokens=256),
        caption=dict(output='pred_caption', max_new_tokens=40),
    ),
    gradient_checkpointing=('lm',),
    base_checkpoint=dict(source='google/paligemma2-3b-pt-224'),
)
# It has no chat template: the question is the prompt, seen in both directions. Every image is 256 tokens.
packing = dict(prompt='{question}')
