"""OPT as transformers builds it: pre-norm, but for OPT-350m, which is post-norm and whose word embeddings are narrower
than its stream. From the end of the attention to the end of the block the stream is flattened to (B · L, D).
"""

from torch import nn

from ..schema import Block, Entrance, SubLayer, Tap, Tower
from .parts import linear

ROOT = 'model.decoder'


def _block(module: nn.Module, depth: int) -> Block:
    path = f'{ROOT}.layers.{depth}'
    attention, first, second = f'{path}.self_attn', f'{path}.self_attn_layer_norm', f'{path}.final_layer_norm'
    shape = f'{attention}.out_proj'
    if module.config.do_layer_norm_before:
        x, y = Tap(first, 'input'), Tap(path, 'output')
        middle = ffn = Tap(second, 'input', shape_of=shape)
    else:
        x, y = Tap(attention, 'input', 'hidden_states'), Tap(second, 'output')
        middle, ffn = Tap(first, 'output'), Tap(f'{path}.fc1', 'input', shape_of=shape)
    projections = dict(q='q_proj', k='k_proj', v='v_proj', o='out_proj')
    sublayers = dict(
        self_attn=SubLayer(
            'self_attn',
            x=x,
            h=Tap(shape, 'output'),
            y=middle,
            linears={role: linear(module, f'{attention}.{name}') for role, name in projections.items()},
        ),
        ffn=SubLayer(
            'ffn',
            x=ffn,
            h=Tap(f'{path}.fc2', 'output', shape_of=shape),
            y=y,
            linears=dict(fc1=linear(module, f'{path}.fc1'), fc2=linear(module, f'{path}.fc2')),
        ),
    )
    mask = Tap(path, 'input', 'attention_mask', argument=1)
    return Block(depth, Tap(path, 'input', 'hidden_states'), sublayers, mask)


def opt(module: nn.Module, name: str) -> Tower:
    """Sites of transformers' ``OPTForCausalLM``."""
    config = module.config
    blocks = tuple(_block(module, depth) for depth in range(config.num_hidden_layers))
    norms = [
        f'{ROOT}.layers.{block.depth}.{norm}'
        for block in blocks
        for norm in ('self_attn_layer_norm', 'final_layer_norm')
    ]
    if module.get_submodule(ROOT).final_layer_norm is not None:
        norms.append(f'{ROOT}.final_layer_norm')
    entrance = Entrance(
        Tap(ROOT, 'input', 'inputs_embeds', argument=None), config.word_embed_proj_dim, f'{ROOT}.embed_positions'
    )
    return Tower(name, config.hidden_size, blocks, module, f'{ROOT}.layers', tuple(norms), entrance)
