# T5-base, else as vl_bart.py. T5 has no generation defaults of its own.
_base_ = './vl_bart.py'
greedy = dict(_delete_=True, max_length=20)
model = dict(
    lm=dict(
        _delete_=True,
        model_type='t5',
        d_model=768,
        d_kv=64,
        d_ff=3072,
        num_layers=12,
        num_heads=12,
        dropout_rate=0.1,
        decoder_start_token_id=0,
    ),
    # 32,000 words, 100 <extra_id_i> and 100 <vis_extra_id_i>.
    vocab_size=32200,
    vocabulary='t5-base',
    tasks=dict(
        vqa=dict(generation=greedy),
        gqa=dict(generation=greedy),
        caption=dict(generation=dict(_delete_=True, num_beams=5, max_length=20)),
    ),
    base_checkpoint=dict(lm=dict(source='https://huggingface.co/google-t5/t5-base/resolve/main/model.safetensors')),
)
