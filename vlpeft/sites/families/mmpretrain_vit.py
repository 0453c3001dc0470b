"""mmpretrain's ``VisionTransformer`` (ViT, CLIP, DINOv2): fused qkv, optional LayerScale and SwiGLU."""

from torch import nn

from ..schema import Patches, SiteError, Tower
from .parts import Linears, fused, linear, linears, norms_of, patch_embed, picture, pre_norm_block
from .registry import class_name, family, names_of

BLOCK = 'mmpretrain.TransformerEncoderLayer'


def swiglu(module: nn.Module, path: str) -> Linears:
    """Maps of mmpretrain's SwiGLU at ``path``, silu(W_gate x) ⊙ W_up x; the first two are one module."""
    down = linear(module, f'{path}.w3')
    both = linear(module, f'{path}.w12')
    return dict(fused(both.path, both.in_features, down.in_features, ('gate', 'up')), down=down)


def outer_norms(module: nn.Module) -> list[str]:
    """Paths of the norms outside of all blocks; one that the config turns off is an Identity or missing."""
    return [path for path in ('pre_norm', 'ln1', 'ln2') if hasattr(getattr(module, path, None), 'weight')]


@family('mmpretrain.VisionTransformer', role='vision')
def mmpretrain_vit(module: nn.Module, name: str) -> Tower:
    """Sites of mmpretrain's ViT."""
    blocks, width = [], module.embed_dims
    for depth, layer in enumerate(module.layers):
        path = f'layers.{depth}'
        # DeiT III derives from this class, but its blocks call one norm for both branches.
        if BLOCK not in names_of(layer):
            raise SiteError(
                f'tower "{name}": {class_name(type(module))} has blocks of class {class_name(type(layer))}, whose '
                f'sites are not known; those of {BLOCK} are'
            )
        qkv = fused(f'{path}.attn.qkv', width, width, 'qkv')
        gated = hasattr(layer.ffn, 'w12')
        blocks.append(
            pre_norm_block(
                depth,
                norms=(f'{path}.ln1', f'{path}.ln2'),
                branches=(f'{path}.attn.gamma1', f'{path}.ffn.gamma2'),
                end=f'{path}.ffn',
                attention=dict(qkv, o=linear(module, f'{path}.attn.proj')),
                ffn=swiglu(module, f'{path}.ffn')
                if gated
                else linears(module, f'{path}.ffn.layers', fc1='0.0', fc2='1'),
            )
        )
    final = 'ln1' if module.final_norm else None
    return Tower(
        name,
        width,
        tuple(blocks),
        module,
        'layers',
        (*norms_of(blocks), *outer_norms(module)),
        patches=Patches(module.num_extra_tokens),
        outside=patch_embed(module, 'patch_embed'),
        final_norm=final,
        probe=picture,
    )
