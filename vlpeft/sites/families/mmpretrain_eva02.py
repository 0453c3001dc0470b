"""mmpretrain's ``ViTEVA02``: rotary positions, SwiGLU."""

from torch import nn

from ..schema import Patches, Tower
from .mmpretrain_vit import outer_norms, swiglu
from .parts import fused, linear, norms_of, patch_embed, picture, pre_norm_block
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
    # With sub_ln the FFN has a norm before its last map.
    inner = [depth for depth, layer in enumerate(module.layers) if hasattr(layer.mlp.norm, 'weight')]
    return Tower(
        name,
        width,
        tuple(blocks),
        module,
        'layers',
        (*norms_of(blocks), *(f'layers.{depth}.mlp.norm' for depth in inner), *outer_norms(module)),
        patches=Patches(int(module.cls_token is not None), rotary='rope'),
        outside=patch_embed(module, 'patch_embed'),
        final_norm='ln1' if module.final_norm else None,
        probe=picture,
    )
