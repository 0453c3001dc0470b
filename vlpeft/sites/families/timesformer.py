"""TimeSformer: pre-norm, an attention over time and one over space in each block."""

from torch import nn

from ..schema import Patches, Tower
from .parts import fused, linear, linears, own_probe, patch_embed, pre_norm_block
from .registry import family


@family('vlpeft.TimeSformer', role='vision')
def timesformer(module: nn.Module, name: str) -> Tower:
    """Sites of :class:`vlpeft.models.backbones.TimeSformer`.

    ``self_attn`` is the attention over space, which also images without time pass; its x is the stream after the
    temporal step and its h has the class token's mean over frames. Queries, keys, values and outputs are those of
    single frames, (B T, 1 + N, D). The attention over time is not published.
    """
    blocks, width = [], module.width
    for depth in range(len(module.layers)):
        path = f'layers.{depth}'
        qkv = fused(f'{path}.attn.qkv', width, width, 'qkv')
        blocks.append(
            pre_norm_block(
                depth,
                norms=(f'{path}.ln1', f'{path}.ln2'),
                branches=(f'{path}.attn', f'{path}.ffn.gamma2'),
                end=f'{path}.ffn',
                attention=dict(qkv, o=linear(module, f'{path}.attn.proj')),
                ffn=linears(module, f'{path}.ffn.layers', fc1='0.0', fc2='1'),
            )
        )
    norms = [f'layers.{depth}.{norm}' for depth in range(len(blocks)) for norm in ('temporal_ln', 'ln1', 'ln2')]
    norms.append('ln1')
    return Tower(
        name,
        width,
        tuple(blocks),
        module,
        'layers',
        tuple(norms),
        patches=Patches(1, 'its attention over time shares all rows but the class token out among the frames'),
        outside=patch_embed(module, 'patch_embed'),
        final_norm='ln1',
        probe=own_probe,
    )
