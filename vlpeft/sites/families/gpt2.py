"""GPT-2 as transformers builds it: pre-norm, fused qkv, transposed linear maps (``Conv1D``)."""

from dataclasses import replace

from torch import nn

from ..schema import Block, Entrance, LinearSite, Tap, Tower
from .parts import fused_qkv, pre_norm_block

ROOT = 'transformer'


def _conv1d(module: nn.Module, path: str) -> LinearSite:
    found = module.get_submodule(path)
    return LinearSite(path, found.nx, found.nf)


def _block(module: nn.Module, depth: int) -> Block:
    path = f'{ROOT}.h.{depth}'
    block = pre_norm_block(
        depth,
        norms=(f'{path}.ln_1', f'{path}.ln_2'),
        branches=(f'{path}.attn.c_proj', f'{path}.mlp.c_proj'),
        end=path,
        attention=dict(
            fused_qkv(f'{path}.attn.c_attn', module.config.hidden_size), o=_conv1d(module, f'{path}.attn.c_proj')
        ),
        ffn=dict(fc1=_conv1d(module, f'{path}.mlp.c_fc'), fc2=_conv1d(module, f'{path}.mlp.c_proj')),
    )
    mask = Tap(path, 'input', 'attention_mask', argument=3)
    return replace(block, input=Tap(path, 'input', 'hidden_states'), mask=mask)


def gpt2(module: nn.Module, name: str) -> Tower:
    """Sites of transformers' ``GPT2LMHeadModel``."""
    width = module.config.hidden_size
    blocks = tuple(_block(module, depth) for depth in range(module.config.num_hidden_layers))
    norms = [sub.x.path for block in blocks for sub in block.sublayers.values()]
    entrance = Entrance(Tap(ROOT, 'input', 'inputs_embeds', argument=None), width, f'{ROOT}.wpe')
    return Tower(name, width, blocks, module, f'{ROOT}.h', (*norms, f'{ROOT}.ln_f'), entrance)
