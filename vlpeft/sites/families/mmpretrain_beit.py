"""mmpretrain's ``BEiTViT``: relative position bias, LayerScale outside of any module."""

from torch import nn

from ..schema import Patches, Tower
from .mmpretrain_vit import outer_norms
from .parts import fused, linear, linears, norms_of, patch_embed, picture, pre_norm_block
from .registry import family


@family('mmpretrain.BEiTViT', role='vision')
def mmpretrain_beit(module: nn.Module, name: str) -> Tower:
    """Sites of mmpretrain's BEiT.

    Where queries and values have a bias and keys have none (its default), the qkv weight is used without calling its
    module, so no hook could reach q, k or v: they are not published. Where a block has LayerScale, h is no module's
    output and not published either.
    """
    blocks, width = [], module.embed_dims
    for depth, layer in enumerate(module.layers):
        path = f'layers.{depth}'
        qkv = {} if layer.attn.bias == 'qv_bias' else fused(f'{path}.attn.qkv', width, width, 'qkv')
        scaled = layer.gamma_1 is not None
        blocks.append(
            pre_norm_block(
                depth,
                norms=(f'{path}.ln1', f'{path}.ln2'),
                branches=(None, None) if scaled else (f'{path}.attn.proj', f'{path}.ffn.gamma2'),
                end=path,
                attention=dict(qkv, o=linear(module, f'{path}.attn.proj')),
                ffn=linears(module, f'{path}.ffn.layers', fc1='0.0', fc2='1'),
            )
        )
    relative = module.rel_pos_bias is not None or module.layers[0].attn.relative_position_bias_table is not None
    fixed = 'its attention adds a relative position bias to each pair of its own tokens' if relative else None
    return Tower(
        name,
        width,
        tuple(blocks),
        module,
        'layers',
        (*norms_of(blocks), *outer_norms(module)),
        patches=Patches(module.num_extra_tokens, fixed),
        outside=patch_embed(module, 'patch_embed'),
        final_norm='ln1' if module.final_norm else None,
        probe=picture,
    )
