"""Scales and shifts of what single operations compute."""

METHODS = dict(
    bitfit=dict(type='BitFit', targets={}),
    bitfit_added=dict(type='BitFit', targets=dict(kinds=['self_attn', 'ffn'], linears=['o', 'fc2']), add_missing=True),
    norm_tuning=dict(type='NormTuning', targets={}),
    ia3=dict(type='IA3', targets={}),
    ssf=dict(type='SSF', targets={}),
    ssf_patches=dict(type='SSF', targets=dict(kinds=['patch_embed', 'ffn'])),
)

_NO_BIAS, _NO_PATCHES = 'nothing that the targets choose has a bias', "['patch_embed']; there are"
#: What the message of a refusal says.
REFUSED = {
    # Their linear maps and norms have no biases to tune.
    ('bitfit', 't5'): _NO_BIAS,
    ('bitfit', 't5_gated'): _NO_BIAS,
    ('bitfit', 'llama'): _NO_BIAS,
    # BEiT uses the weight of its fused projection without calling the module, so that no hook sees keys and values.
    ('ia3', 'beit'): "unknown linears of tower \"vision\" ['k', 'v']",
    # Models of texts alone embed no patches.
    ('ssf_patches', 'bart'): _NO_PATCHES,
    ('ssf_patches', 't5'): _NO_PATCHES,
    ('ssf_patches', 't5_gated'): _NO_PATCHES,
    ('ssf_patches', 'opt'): _NO_PATCHES,
    ('ssf_patches', 'opt_post_norm'): _NO_PATCHES,
    ('ssf_patches', 'gpt2'): _NO_PATCHES,
    ('ssf_patches', 'llama'): _NO_PATCHES,
    ('ssf_patches', 'blip_text'): _NO_PATCHES,
    ('ssf_patches', 'blip_decoder'): _NO_PATCHES,
}
