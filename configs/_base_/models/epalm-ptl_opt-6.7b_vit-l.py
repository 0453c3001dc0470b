# eP-ALM_pt-L: OPT-6.7B and ViT-L/16, one connector for all levels, the soft prompt a bare table.
_base_ = './epalm_opt-2.7b_vit-b.py'
model = dict(
    lm=dict(hidden_size=4096, word_embed_proj_dim=4096, ffn_dim=16384),
    vocabulary='facebook/opt-6.7b',
    encoder=dict(arch='large'),
    adapter=dict(shared_connector=True, prompt_mlp=False),
    base_checkpoint=dict(
        lm=dict(source='https://huggingface.co/facebook/opt-6.7b/resolve/main/pytorch_model.bin.index.json'),
        encoder=dict(
            source='https://storage.googleapis.com/vit_models/augreg/L_16-i21k-300ep-lr_0.001-'
            'aug_medium1-wd_0.1-do_0.1-sd_0.1--imagenet2012-steps_20k-lr_0.01-res_224.npz'
        ),
    ),
)
