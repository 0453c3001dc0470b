"""CLIP's and SigLIP's text and vision transformers as transformers builds them: pre-norm, blocks may return tuples.

CLIP's projections into the shared space lie beside its towers, SigLIP's heads in them. Until transformers 4.57
``CLIPTextModel`` and its like hold a ``CLIPTextTransformer``; in 5 they are one module.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from ..arguments import argument_name
from ..paths import below
from ..probe import zeros
from ..schema import Block, Entrance, OuterPart, Patches, Tap, Tower
from .connectors import connects
from .parts import connector, linear, linears, norms_of, own_probe, patch_embed, pre_norm_block, token_input
from .registry import family

PATCHES = 'embeddings.patch_embedding'
FINAL = 'final_layer_norm'


def _block(module: nn.Module, path: str, depth: int, padded: bool) -> Block:
    attention = f'{path}.self_attn'
    return pre_norm_block(
        depth,
        norms=(f'{path}.layer_norm1', f'{path}.layer_norm2'),
        branches=(f'{attention}.out_proj', f'{path}.mlp'),
        end=path,
        attention=linears(module, attention, q='q_proj', k='k_proj', v='v_proj', o='out_proj'),
        ffn=linears(module, f'{path}.mlp', fc1='fc1', fc2='fc2'),
        mask=Tap(attention, 'input', 'attention_mask', argument=1) if padded else None,
    )


def _tower(
    module: nn.Module,
    name: str,
    outer_norms: Sequence[str],
    root: str = '',
    padded: bool = False,
    causal: bool = False,
    outside: Mapping[str, OuterPart] = MappingProxyType({}),
    final_norm: str | None = None,
    probe: Callable[[nn.Module], dict[str, Any]] | None = None,
) -> Tower:
    path = below(root, 'encoder.layers')
    layers = module.get_submodule(path)
    blocks = tuple(_block(module, f'{path}.{depth}', depth, padded) for depth in range(len(layers)))
    return Tower(
        name,
        layers[0].embed_dim,
        blocks,
        module,
        path,
        (*norms_of(blocks), *(below(root, norm) for norm in outer_norms)),
        causal=causal,
        records_blocks=True,
        outside=outside,
        final_norm=final_norm and below(root, final_norm),
        probe=probe,
    )


def _picture(module: nn.Module) -> dict[str, Any]:
    size = module.config.image_size
    return dict(pixel_values=zeros(module, 1, 3, size, size))


def _text(module: nn.Module, name: str, root: str = '', **options: Any) -> Tower:
    """A text tower: rows join behind the positions, where the stack of blocks is called."""
    tower = _tower(module, name, (FINAL,), root, final_norm=FINAL, **options)
    embeddings = Tap(below(root, 'encoder'), 'input', 'inputs_embeds')
    return replace(tower, entrance=Entrance(embeddings, tower.width, has_wide_masks=True))


@family('transformers.CLIPTextTransformer', 'transformers.CLIPTextModel', role='text', holds='encoder')
def clip_text(module: nn.Module, name: str) -> Tower:
    """Sites of transformers' CLIP for texts; its attentions get the mask of padding apart from the causal one, in
    transformers 5 both as one.
    """
    return _text(module, name, padded=True, causal=True, probe=token_input)


@family('vlpeft.ClipTextEncoder', role='text')
def own_clip_text(module: nn.Module, name: str) -> Tower:
    """Sites of :class:`vlpeft.models.backbones.ClipTextEncoder`, which has no mask of padding and records no blocks."""
    tower = _text(module, name, 'text_model', causal=True, probe=own_probe)
    return replace(tower, records_blocks=False)


@family(
    'transformers.SiglipTextTransformer',
    'transformers.SiglipTextModel',
    'transformers.Siglip2TextTransformer',
    'transformers.Siglip2TextModel',
    role='text',
    holds='encoder',
)
def siglip_text(module: nn.Module, name: str) -> Tower:
    """Sites of transformers' SigLIP for texts: tokens see each other in both directions."""
    outside = connector(dict(proj=linear(module, 'head')))
    return _text(module, name, padded=True, outside=outside, probe=token_input)


@family('transformers.CLIPVisionTransformer', 'transformers.CLIPVisionModel', role='vision', holds='encoder')
def clip_vision(module: nn.Module, name: str) -> Tower:
    """Sites of transformers' CLIP for pictures."""
    # The norm behind the blocks is of the class token alone.
    tower = _tower(
        module, name, ('pre_layrnorm', 'post_layernorm'), outside=patch_embed(module, PATCHES), probe=_picture
    )
    return replace(tower, patches=Patches(1))


@family('transformers.SiglipVisionTransformer', 'transformers.SiglipVisionModel', role='vision', holds='encoder')
def siglip_vision(module: nn.Module, name: str) -> Tower:
    """Sites of transformers' SigLIP for pictures; the FFN of its pooling head, which is no block, leads out."""
    return _siglip_vision(module, name, Patches(0), _picture)


@family('transformers.Siglip2VisionTransformer', 'transformers.Siglip2VisionModel', role='vision', holds='encoder')
def siglip2_vision(module: nn.Module, name: str) -> Tower:
    """Sites of transformers' SigLIP 2 for pictures: of different sizes, padded, whose patches enter a linear map."""
    fixed = Patches(0, 'its masks tell padding from its own patches')
    return _siglip_vision(module, name, fixed, _patches, padded=True)


def _patches(module: nn.Module) -> dict[str, Any]:
    """One row of two patches; their grid is read as numbers, so it is never on ``meta``."""
    pixels = zeros(module, 1, 2, module.config.num_channels * module.config.patch_size**2)
    mask = argument_name(module, ('pixel_attention_mask', 'attention_mask'))
    # A mask would be looked at, on meta too.
    return {'pixel_values': pixels, mask: None, 'spatial_shapes': torch.tensor([[1, 2]])}


def _siglip_vision(
    module: nn.Module,
    name: str,
    patches: Patches,
    probe: Callable[[nn.Module], dict[str, Any]],
    padded: bool = False,
) -> Tower:
    norms, outside = ['post_layernorm'], patch_embed(module, PATCHES)
    if module.use_head:
        norms.append('head.layernorm')
        outside.update(connector(linears(module, 'head.mlp', fc1='fc1', fc2='fc2')))
    tower = _tower(module, name, norms, padded=padded, outside=outside, final_norm='post_layernorm', probe=probe)
    return replace(tower, patches=patches)


connects(
    'transformers.CLIPModel', 'transformers.CLIPTextModelWithProjection', tower='text_model', proj='text_projection'
)
connects(
    'transformers.CLIPModel',
    'transformers.CLIPVisionModelWithProjection',
    tower='vision_model',
    proj='visual_projection',
)
