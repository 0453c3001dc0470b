"""mmpretrain's ``ViTEVA02``: rotary positions, SwiGLU."""

from torch import nn

from ..schema import Tower
from .mmpretrain_vit import swiglu
from .parts import fused, linear, patch_embed, picture, pre_norm_block
from .registry import family


@family('mmpretrain.ViTEVA02', role='vision')
def mmpretrain_eva02(module: nn.Module, name: str) -> Tower:
    """Sites of mmpretrain's EVA-02; q and k are those before the rotation."""
    blocks, width = [], module.embed_dims
    for depth in range(len(module.layers)):
        path = f'layers.{depth}'
        qkv = fused(f'{path}.attn.qkv', width, width, 'qkv')
        blocks.append(
            pre_norm_block(
                depth,
                norms=(f'{path}.norm1', f'{path}.norm2'),
                branches=(f'{path}.attn.proj', f'{path}.mlp.gamma2'),
                end=path,
                attention=dict(qkv, o=linear(module, f'{path}.attn.proj')),
                ffn=swiglu(module, f'{path}.mlp'),
            )
        )
    final = 'ln1' if module.final_norm else None
    outside = patch_embed(module, 'patch_embed')
    return Tower(name, width, tuple(blocks), module, 'layers', outside=outside, final_norm=final, probe=picture)
