"""OPT as transformers builds it: pre-norm, but for OPT-350m, which is post-norm and whose word embeddings are narrower
than its stream. From the end of the attention to the end of the block the stream is flattened to (B · L, D).
"""

from torch import nn

from ..paths import below
from ..schema import Block, SubLayer, Tap, Tower
from .parts import decoder_only, linear, linears
from .registry import family


def _block(module: nn.Module, path: str, depth: int) -> Block:
    attention, first, second = f'{path}.self_attn', f'{path}.self_attn_layer_norm', f'{path}.final_layer_norm'
    shape = f'{attention}.out_proj'
    if module.config.do_layer_norm_before:
        x, y = Tap(first, 'input'), Tap(path, 'output')
        middle = ffn = Tap(second, 'input', shape_of=shape)
    else:
        x, y = Tap(attention, 'input', 'hidden_states'), Tap(second, 'output')
        middle, ffn = Tap(first, 'output'), Tap(f'{path}.fc1', 'input', shape_of=shape)
    sublayers = dict(
        self_attn=SubLayer(
            'self_attn',
            x=x,
            h=Tap(shape, 'output'),
            y=middle,
            linears=linears(module, attention, q='q_proj', k='k_proj', v='v_proj', o='out_proj'),
        ),
        ffn=SubLayer(
            'ffn',
            x=ffn,
            h=Tap(f'{path}.fc2', 'output', shape_of=shape),
            y=y,
            linears={role: linear(module, f'{path}.{role}', shape_of=shape) for role in ('fc1', 'fc2')},
        ),
    )
    mask = Tap(attention, 'input', 'attention_mask', argument=None)
    return Block(depth, Tap(path, 'input', 'hidden_states'), sublayers, mask)


def _tower(module: nn.Module, name: str, root: str) -> Tower:
    config, path = module.config, below(root, 'layers')
    blocks = [_block(module, f'{path}.{depth}', depth) for depth in range(config.num_hidden_layers)]
    norms = [
        f'{path}.{block.depth}.{norm}' for block in blocks for norm in ('self_attn_layer_norm', 'final_layer_norm')
    ]
    final = None if module.get_submodule(root).final_layer_norm is None else below(root, 'final_layer_norm')
    if final is not None:
        norms.append(final)
    positions = below(root, 'embed_positions')
    return decoder_only(
        module,
        name,
        root,
        path,
        blocks,
        norms,
        positions=positions,
        position_ids=Tap(positions, 'input', 'position_ids', argument=None),
        records_blocks=config.do_layer_norm_before,
        final_norm=final,
    )


@family('transformers.OPTForCausalLM', role='lm')
def opt_with_head(module: nn.Module, name: str) -> Tower:
    """Sites of transformers' ``OPTForCausalLM``."""
    return _tower(module, name, 'model.decoder')


@family('transformers.OPTModel', role='lm')
def opt_model(module: nn.Module, name: str) -> Tower:
    """Sites of transformers' ``OPTModel``, alone or below a head of another kind."""
    return _tower(module, name, 'decoder')


@family('transformers.OPTDecoder', role='lm')
def opt(module: nn.Module, name: str) -> Tower:
    """Sites of transformers' ``OPTDecoder``."""
    return _tower(module, name, '')
