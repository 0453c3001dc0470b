"""Llama as transformers builds it: pre-norm, rotary positions, a gated FFN; keys and values may be narrower than
queries (grouped-query attention).
"""

from dataclasses import replace

from torch import nn

from ..paths import below
from ..schema import Block, Tap, Tower
from .parts import decoder_only, linears, norms_of, pre_norm_block
from .registry import family


def _block(module: nn.Module, path: str, depth: int) -> Block:
    attention = f'{path}.self_attn'
    block = pre_norm_block(
        depth,
        norms=(f'{path}.input_layernorm', f'{path}.post_attention_layernorm'),
        branches=(f'{attention}.o_proj', f'{path}.mlp'),
        end=path,
        attention=linears(module, attention, q='q_proj', k='k_proj', v='v_proj', o='o_proj'),
        ffn=linears(module, f'{path}.mlp', gate='gate_proj', up='up_proj', down='down_proj'),
        mask=Tap(attention, 'input', 'attention_mask', argument=None),
    )
    return replace(block, input=Tap(path, 'input', 'hidden_states'))


def _tower(module: nn.Module, name: str, root: str) -> Tower:
    path = below(root, 'layers')
    blocks = [_block(module, f'{path}.{depth}', depth) for depth in range(module.config.num_hidden_layers)]
    final = below(root, 'norm')
    return decoder_only(module, name, root, path, blocks, (*norms_of(blocks), final), final_norm=final)


@family('transformers.LlamaForCausalLM', role='lm')
def llama_with_head(module: nn.Module, name: str) -> Tower:
    """Sites of transformers' ``LlamaForCausalLM``."""
    return _tower(module, name, 'model')


@family('transformers.LlamaModel', role='lm')
def llama(module: nn.Module, name: str) -> Tower:
    """Sites of transformers' ``LlamaModel``, alone or below a head of another kind."""
    return _tower(module, name, '')
