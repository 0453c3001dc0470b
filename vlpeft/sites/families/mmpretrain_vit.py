"""mmpretrain's ``VisionTransformer`` (ViT, CLIP, DINOv2): fused qkv, optional LayerScale and SwiGLU."""

from torch import nn

from ..schema import Tower
from .parts import fused_qkv, linear, pre_norm_block


def mmpretrain_vit(module: nn.Module, name: str) -> Tower:
    """Sites of mmpretrain's ViT."""
    blocks = []
    for depth, layer in enumerate(module.layers):
        path = f'layers.{depth}'
        fc1, fc2 = ('w12', 'w3') if hasattr(layer.ffn, 'w12') else ('layers.0.0', 'layers.1')
        blocks.append(
            pre_norm_block(
                depth,
                norms=(f'{path}.ln1', f'{path}.ln2'),
                branches=(f'{path}.attn.gamma1', f'{path}.ffn.gamma2'),
                end=f'{path}.ffn',
                attention=dict(fused_qkv(f'{path}.attn.qkv', module.embed_dims), o=linear(module, f'{path}.attn.proj')),
                ffn=dict(fc1=linear(module, f'{path}.ffn.{fc1}'), fc2=linear(module, f'{path}.ffn.{fc2}')),
            )
        )
    norms = [sub.x.path for block in blocks for sub in block.sublayers.values()]
    # Which of these there are depends on the config; one that is off is an Identity or missing.
    outer = [path for path in ('pre_norm', 'ln1', 'ln2') if hasattr(getattr(module, path, None), 'weight')]
    return Tower(name, module.embed_dims, tuple(blocks), module, 'layers', (*norms, *outer))
