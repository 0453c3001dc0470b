# As epalm_opt-2.7b_vit-b.py with SmolLM2-135M, whose layers 17 to 28 of 30 perceive. Of its 49,153 rows of embeddings
# the last is </a>'s, which the base does not have.
_base_ = './epalm_opt-2.7b_vit-b.py'
model = dict(
    lm=dict(
        _delete_=True,
        model_type='llama',
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        rope_theta=100000.0,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
    ),
    vocab_size=49153,
    vocabulary='HuggingFaceTB/SmolLM2-135M',
    adapter=dict(start=17, end=29),
    base_checkpoint=dict(
        lm=dict(source='https://huggingface.co/HuggingFaceTB/SmolLM2-135M/resolve/main/model.safetensors')
    ),
)
