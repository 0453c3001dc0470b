# eP-ALM: OPT-2.7B perceives images through ViT-B/16 (AugReg, ImageNet-21k, then ImageNet-1k), its layers 19 to 30 in
# turn the last six class tokens. Beams and length as released.
as_released = dict(count_prompt=True, beam_rule='released')
# What released recipes add: a slot that sees everything, prompts padded on the right, dropout and drop-path in the
# frozen parts, a language model in half precision, lengths that count the prompt, and the old scores of beams.
released = dict(
    visual_row='full',
    padding='right',
    released_dropout=True,
    lm_dtype='float16',
    tasks=dict(vqa=as_released, gqa=as_released, video_qa=as_released, caption=as_released),
)
# What makes it eP-ALM_pt-L: OPT-6.7B, one connector for all levels, the soft prompt a bare table.
ptl = dict(
    lm=dict(hidden_size=4096, word_embed_proj_dim=4096, ffn_dim=16384),
    vocabulary='facebook/opt-6.7b',
    adapter=dict(shared_connector=True, prompt_mlp=False),
    base_checkpoint=dict(
        lm=dict(source='https://huggingface.co/facebook/opt-6.7b/resolve/main/pytorch_model.bin.index.json')
    ),
)
model = dict(
    type='PerceptualLM',
    lm=dict(
        model_type='opt',
        hidden_size=2560,
        word_embed_proj_dim=2560,
        num_hidden_layers=32,
        num_attention_heads=32,
        ffn_dim=10240,
    ),
    vocab_size=50272,
    vocabulary='facebook/opt-2.7b',
    encoder=dict(
        type='mmpretrain.VisionTransformer', arch='base', img_size=224, patch_size=16, out_type='raw', final_norm=True
    ),
    adapter=dict(type='EPALM', levels=6, start=19, end=31, prompt_length=10, prompt_mlp=True),
    visual_row='causal',
    tasks=dict(vqa=dict(), gqa=dict(), video_qa=dict(), caption=dict(output='pred_caption')),
    base_checkpoint=dict(
        lm=dict(source='https://huggingface.co/facebook/opt-2.7b/resolve/main/pytorch_model.bin'),
        encoder=dict(
            source='https://storage.googleapis.com/vit_models/augreg/B_16-i21k-300ep-lr_0.001-'
            'aug_medium1-wd_0.1-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_0.01-res_224.npz'
        ),
    ),
)
