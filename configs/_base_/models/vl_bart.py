# BART-base with 36 vision tokens per image, from stored CLIP-RN101 grids, for the four image tasks of VL-T5.
# Answers are decoded as in the release; no_repeat_ngram_size is BART-base's own default, and the end token is forced at
# the last position in beam search only.
beam = dict(num_beams=5, max_length=20, early_stopping=True, no_repeat_ngram_size=3, forced_eos_token_id=2)
greedy = dict(max_length=20, no_repeat_ngram_size=3)
model = dict(
    type='VLSeq2Seq',
    lm=dict(
        model_type='bart',
        d_model=768,
        encoder_layers=6,
        decoder_layers=6,
        encoder_attention_heads=12,
        decoder_attention_heads=12,
        encoder_ffn_dim=3072,
        decoder_ffn_dim=3072,
        dropout=0.1,
        attention_dropout=0.1,
        activation_dropout=0.1,
    ),
    # 50,265 words, 100 <extra_id_i> and 100 <vis_extra_id_i>.
    vocab_size=50465,
    vocabulary='facebook/bart-base',
    feature_width=2048,
    grid=6,
    tasks=dict(
        vqa=dict(max_text=20, max_target=10, generation=greedy),
        gqa=dict(max_text=20, generation=greedy),
        nlvr2=dict(choices=('false', 'true')),
        caption=dict(max_text=40, max_target=40, loss='token', output='pred_caption', generation=beam),
    ),
    base_checkpoint=dict(lm=dict(source='https://huggingface.co/facebook/bart-base/resolve/main/model.safetensors')),
)
