"""CLIP's and SigLIP's text and vision transformers as transformers builds them: pre-norm, blocks may return tuples."""

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from ..schema import Block, Tap, Tower
from .parts import below, linears, norms_of, pre_norm_block
from .registry import family


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
    module: nn.Module, name: str, outer_norms: Sequence[str], root: str = '', padded: bool = False, causal: bool = False
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
    )


@family('transformers.CLIPTextTransformer', role='text')
def clip_text(module: nn.Module, name: str) -> Tower:
    """Sites of transformers' ``CLIPTextTransformer``; its attentions get the mask of padding apart from the causal."""
    return _tower(module, name, ('final_layer_norm',), padded=True, causal=True)


@family('vlpeft.ClipTextEncoder', role='text')
def own_clip_text(module: nn.Module, name: str) -> Tower:
    """Sites of :class:`vlpeft.models.backbones.ClipTextEncoder`, which has no mask of padding and records no blocks."""
    return replace(_tower(module, name, ('final_layer_norm',), 'text_model', causal=True), records_blocks=False)


@family('transformers.SiglipTextTransformer', role='text')
def siglip_text(module: nn.Module, name: str) -> Tower:
    """Sites of transformers' ``SiglipTextTransformer``: tokens see each other in both directions."""
    return _tower(module, name, ('final_layer_norm',), padded=True)


@family('transformers.CLIPVisionTransformer', role='vision')
def clip_vision(module: nn.Module, name: str) -> Tower:
    """Sites of transformers' ``CLIPVisionTransformer``."""
    return _tower(module, name, ('pre_layrnorm', 'post_layernorm'))


@family('transformers.SiglipVisionTransformer', role='vision')
def siglip_vision(module: nn.Module, name: str) -> Tower:
    """Sites of transformers' ``SiglipVisionTransformer``; its pooling head is no block."""
    return _tower(module, name, ('post_layernorm', *(('head.layernorm',) if module.use_head else ())))
