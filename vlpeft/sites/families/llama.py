"""Llama as transformers builds it: pre-norm, rotary positions, a gated FFN, whose ``fc1`` is not published."""

from dataclasses import replace

from torch import nn

from ..schema import Block, Entrance, Tap, Tower
from .parts import linear, pre_norm_block

ROOT = 'model'


def _block(module: nn.Module, depth: int) -> Block:
    path = f'{ROOT}.layers.{depth}'
    projections = dict(q='q_proj', k='k_proj', v='v_proj', o='o_proj')
    block = pre_norm_block(
        depth,
        norms=(f'{path}.input_layernorm', f'{path}.post_attention_layernorm'),
        branches=(f'{path}.self_attn.o_proj', f'{path}.mlp'),
        end=path,
        attention={role: linear(module, f'{path}.self_attn.{projection}') for role, projection in projections.items()},
        ffn=dict(fc2=linear(module, f'{path}.mlp.down_proj')),
    )
    mask = Tap(path, 'input', 'attention_mask', argument=1)
    return replace(block, input=Tap(path, 'input', 'hidden_states'), mask=mask)


def llama(module: nn.Module, name: str) -> Tower:
    """Sites of transformers' ``LlamaForCausalLM``."""
    width = module.config.hidden_size
    blocks = tuple(_block(module, depth) for depth in range(module.config.num_hidden_layers))
    norms = [sub.x.path for block in blocks for sub in block.sublayers.values()]
    entrance = Entrance(Tap(ROOT, 'input', 'inputs_embeds', argument=None), width)
    return Tower(name, width, blocks, module, f'{ROOT}.layers', (*norms, f'{ROOT}.norm'), entrance)
