# As epalm-ptl_opt-6.7b_vit-l.py, with AST for sounds.
_base_ = './epalm_opt-2.7b_ast.py'
model = dict(
    lm=dict(hidden_size=4096, word_embed_proj_dim=4096, ffn_dim=16384),
    vocabulary='facebook/opt-6.7b',
    adapter=dict(shared_connector=True, prompt_mlp=False),
    base_checkpoint=dict(
        lm=dict(source='https://huggingface.co/facebook/opt-6.7b/resolve/main/pytorch_model.bin.index.json')
    ),
)
