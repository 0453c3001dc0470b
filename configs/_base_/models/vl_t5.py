# T5-base with 36 vision tokens per image, from stored CLIP-RN101 grids, for the four image tasks of VL-T5.
beam = dict(num_beams=5, max_length=20)
greedy = dict(max_length=20)
model = dict(
    type='VLSeq2Seq',
    lm=dict(model_type='t5', d_model=768, d_kv=64, d_ff=3072, num_layers=12, num_heads=12, dropout_rate=0.1,
            decoder_start_token_id=0),
    # 32,000 words, 100 <extra_id_i> and 100 <vis_extra_id_i>.
    vocab_size=32200,
    vocabulary='t5-base',
    feature_width=2048,
    grid=6,
    tasks=dict(
        vqa=dict(max_text=20, max_target=10, generation=greedy),
        gqa=dict(max_text=20, generation=greedy),
        nlvr2=dict(choices=('false', 'true')),
        caption=dict(max_text=40, max_target=40, loss='token', output='pred_caption', generation=beam)),
    base_checkpoint=dict(lm=dict(source='https://huggingface.co/google-t5/t5-base/resolve/main/model.safetensors')))
