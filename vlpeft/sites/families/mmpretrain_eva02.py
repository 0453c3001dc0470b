"""mmpretrain's ``ViTEVA02``: rotary positions, SwiGLU."""

from torch import nn

from ..schema import Tower
from .parts import fused_qkv, linear, pre_norm_block


def mmpretrain_eva02(module: nn.Module, name: str) -> Tower:
    """Sites of mmpretrain's EVA-02; q and k are those before the rotation."""
    blocks = []
    for depth in range(len(module.layers)):
        path = f'layers.{depth}'
        blocks.append(
            pre_norm_block(
                depth,
                norms=(f'{path}.norm1', f'{path}.norm2'),
                branches=(f'{path}.attn.proj', f'{path}.mlp.gamma2'),
                end=path,
                attention=dict(fused_qkv(f'{path}.attn.qkv', module.embed_dims), o=linear(module, f'{path}.attn.proj')),
                ffn=dict(fc1=linear(module, f'{path}.mlp.w12'), fc2=linear(module, f'{path}.mlp.w3')),
            )
        )
    return Tower(name, module.embed_dims, tuple(blocks), module, 'layers')
