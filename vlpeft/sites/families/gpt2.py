"""GPT-2 as transformers builds it: pre-norm, fused qkv, transposed linear maps (``Conv1D``)."""

from dataclasses import replace

from torch import nn

from ..paths import below
from ..schema import Block, LinearSite, SiteError, Tap, Tower
from .parts import decoder_only, fused, norms_of, pre_norm_block
from .registry import family


def _conv1d(module: nn.Module, path: str) -> LinearSite:
    found = module.get_submodule(path)
    return LinearSite(path, found.nx, found.nf)


def _block(module: nn.Module, path: str, depth: int) -> Block:
    width = module.config.hidden_size
    block = pre_norm_block(
        depth,
        norms=(f'{path}.ln_1', f'{path}.ln_2'),
        branches=(f'{path}.attn.c_proj', f'{path}.mlp.c_proj'),
        end=path,
        attention=dict(fused(f'{path}.attn.c_attn', width, width, 'qkv'), o=_conv1d(module, f'{path}.attn.c_proj')),
        ffn=dict(fc1=_conv1d(module, f'{path}.mlp.c_fc'), fc2=_conv1d(module, f'{path}.mlp.c_proj')),
        mask=Tap(f'{path}.attn', 'input', 'attention_mask', argument=None),
    )
    return replace(block, input=Tap(path, 'input', 'hidden_states'))


def _tower(module: nn.Module, name: str, root: str) -> Tower:
    config, path = module.config, below(root, 'h')
    if config.add_cross_attention:
        raise SiteError(
            f'tower "{name}": sites of {type(module).__name__} are known without cross-attentions only '
            '(add_cross_attention=False)'
        )
    blocks = [_block(module, f'{path}.{depth}', depth) for depth in range(config.num_hidden_layers)]
    final, positions = below(root, 'ln_f'), below(root, 'wpe')
    return decoder_only(
        module,
        name,
        root,
        path,
        blocks,
        (*norms_of(blocks), final),
        words='wte',
        positions=positions,
        position_ids=Tap(positions, 'input'),
        final_norm=final,
        cache_argument=1,
    )


@family('transformers.GPT2LMHeadModel', 'transformers.GPT2DoubleHeadsModel', role='lm')
def gpt2_with_head(module: nn.Module, name: str) -> Tower:
    """Sites of transformers' ``GPT2LMHeadModel``."""
    return _tower(module, name, 'transformer')


@family('transformers.GPT2Model', role='lm')
def gpt2(module: nn.Module, name: str) -> Tower:
    """Sites of transformers' ``GPT2Model``, alone or below a head of another kind."""
    return _tower(module, name, '')
