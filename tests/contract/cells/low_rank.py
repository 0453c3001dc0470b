"""Low-rank changes of linear maps."""

METHODS = dict(
    lora=dict(type='LoRA', rank=2, targets={}),
    lora_pissa=dict(type='LoRA', rank=2, alpha=3, scaling='rslora', init='pissa', targets=dict(linears=['o', 'fc1'])),
    lora_biases=dict(type='LoRA', rank=2, bias='adapted', targets=dict(linears=['o', 'fc1'])),
    dora=dict(type='DoRA', rank=2, alpha=3, targets={}),
    vera=dict(type='VeRA', rank=3, targets={}),
    vera_unsaved=dict(type='VeRA', rank=3, seed=5, save_projection=False, targets=dict(linears=['o'])),
    aurora=dict(type='Aurora', rank=2, targets={}),
    aurora_full=dict(type='Aurora', rank=2, core='full', query_gate=True, targets=dict(linears=['o'])),
)

_NO_BIAS = 'nothing that the targets choose has a bias'
_NO_CROSS = 'reads a cross-attention, but no block has one'
#: What the message of a refusal says.
REFUSED: dict[tuple[str, str], str] = {
    # The maps of T5 and Llama are without biases.
    ('lora_biases', 't5'): _NO_BIAS,
    ('lora_biases', 't5_gated'): _NO_BIAS,
    ('lora_biases', 'llama'): _NO_BIAS,
    # The query gate is for texts that look at pictures.
    ('aurora_full', 'opt'): _NO_CROSS,
    ('aurora_full', 'opt_post_norm'): _NO_CROSS,
    ('aurora_full', 'gpt2'): _NO_CROSS,
    ('aurora_full', 'llama'): _NO_CROSS,
    ('aurora_full', 'clip'): _NO_CROSS,
    ('aurora_full', 'siglip'): _NO_CROSS,
    ('aurora_full', 'vit'): _NO_CROSS,
    ('aurora_full', 'dinov2'): _NO_CROSS,
    ('aurora_full', 'dinov2_giant'): _NO_CROSS,
    ('aurora_full', 'beit'): _NO_CROSS,
    ('aurora_full', 'eva02'): _NO_CROSS,
    ('aurora_full', 'timesformer'): _NO_CROSS,
}
