"""What families share: handles on linear maps, and the taps of a pre-norm block.

y = x + h(norm(x))     first for the attention, then for the FFN, whose x is the attention's y
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ..arguments import CACHE, argument_name
from ..paths import below
from ..probe import READ, token_ids, zeros
from ..schema import Block, Entrance, LinearSite, OuterPart, SubLayer, Tap, Tower

Linears = dict[str, LinearSite]


def linear(module: nn.Module, path: str, shape_of: str | None = None) -> LinearSite:
    """The ``nn.Linear`` at ``path``; ``shape_of`` as for :class:`LinearSite`."""
    found = module.get_submodule(path)
    return LinearSite(path, found.in_features, found.out_features, shape_of=shape_of)


def linears(module: nn.Module, root: str, **names: str) -> Linears:
    """The ``nn.Linear`` at each of the paths ``names`` below ``root``, by their roles."""
    return {role: linear(module, below(root, name)) for role, name in names.items()}


def fused(path: str, in_features: int, out_features: int, roles: Iterable[str]) -> Linears:
    """Maps of one size that a single projection computes, in the order of its rows."""
    return {
        role: LinearSite(path, in_features, out_features, span=(i * out_features, (i + 1) * out_features))
        for i, role in enumerate(roles)
    }


def patch_embed(module: nn.Module, path: str) -> dict[str, OuterPart]:
    """The patch embedding at ``path``: a linear map of flat patches, a convolution, or a module that returns tokens and
    their grid, and knows their width as ``embed_dims``.
    """
    found, output = module.get_submodule(path), Tap(path, 'output')
    if isinstance(found, nn.Linear):
        return dict(patch_embed=_mapped('patch_embed', dict(proj=linear(module, path))))
    if isinstance(found, nn.Conv2d):
        return dict(patch_embed=OuterPart('patch_embed', replace(output, grid=True), found.out_channels))
    return dict(patch_embed=OuterPart('patch_embed', output, found.embed_dims))


def connector(maps: Linears) -> dict[str, OuterPart]:
    """The connector that a chain of linear maps is."""
    return dict(connector=_mapped('connector', maps))


def _mapped(kind: str, maps: Linears) -> OuterPart:
    """A part that begins with the first of its linear maps and ends with the last."""
    first, *_, last = (*maps.values(), *maps.values())
    return OuterPart(kind, last.output, last.out_features, first.input, first.in_features, maps)


def pre_norm_block(
    depth: int,
    norms: tuple[str, str],
    branches: tuple[str | None, str | None],
    end: str,
    attention: Linears,
    ffn: Linears,
    mask: Tap | None = None,
) -> Block:
    """A block of self-attention and FFN.

    Args:
        depth: Its index.
        norms: Paths of the two norms, whose inputs are the residual stream.
        branches: Paths of the modules whose outputs are the branches' h; None where no module's output is.
        end: Path of the module whose output is the stream after the FFN.
        attention, ffn: Linear maps of the branches.
        mask: As for :class:`Block`. Defaults to None.
    """
    stream, middle = (Tap(path, 'input') for path in norms)
    h_attention, h_ffn = (path and Tap(path, 'output') for path in branches)
    sublayers = dict(
        self_attn=SubLayer('self_attn', x=stream, h=h_attention, y=middle, linears=attention),
        ffn=SubLayer('ffn', x=middle, h=h_ffn, y=Tap(end, 'output'), linears=ffn),
    )
    return Block(depth, stream, sublayers, mask)


def norms_of(blocks: Iterable[Block]) -> list[str]:
    """Paths of the norms of pre-norm blocks: x enters them."""
    return [sub.x.path for block in blocks for sub in block.sublayers.values()]


def decoder_only(
    module: nn.Module,
    name: str,
    root: str,
    path: str,
    blocks: Iterable[Block],
    norms: Iterable[str],
    words: str = 'embed_tokens',
    positions: str | None = None,
    position_ids: Tap | None = None,
    records_blocks: bool = True,
    final_norm: str | None = None,
    cache_argument: int | None = None,
) -> Tower:
    """The tower of a decoder-only language model of transformers.

    Args:
        module: The backbone.
        name: The tower's name.
        root: Path of the module that takes embeddings.
        path: Path of the list of blocks.
        blocks: Their sites.
        norms: Paths of all norms.
        words: Path of the word embeddings below the module at ``root``. Defaults to ``'embed_tokens'``.
        positions: Path of the learned positions. Defaults to None: rotary positions.
        position_ids: As for :class:`Entrance`. Defaults to None.
        records_blocks: As for :class:`Tower`. Defaults to True.
        final_norm: As for :class:`Tower`. Defaults to None.
        cache_argument: Index of the cache among a block's arguments. Defaults to None: it is passed by keyword.
    """
    config = module.config
    entrance = Entrance(
        Tap(root, 'input', 'inputs_embeds', argument=None),
        module.get_submodule(below(root, words)).embedding_dim,
        words,
        positions,
        position_ids,
        'DynamicCache',
        getattr(config, 'num_key_value_heads', config.num_attention_heads),
        scale=_scale(config, module.get_submodule(below(root, words))),
    )
    return Tower(
        name,
        config.hidden_size,
        tuple(blocks),
        module,
        path,
        tuple(norms),
        entrance,
        causal=True,
        records_blocks=records_blocks,
        final_norm=final_norm,
        cache=cache_tap(module, f'{path}.0', cache_argument),
        probe=tokens_with_mask,
    )


def cache_tap(module: nn.Module, path: str, argument: int | None = None) -> Tap:
    """Where the cache of keys and values enters the first block, at ``path``; ``argument`` as for :class:`Tap`."""
    return Tap(path, 'input', argument_name(module.get_submodule(path), CACHE), argument=argument)


def _scale(config: Any, words: nn.Module) -> float:
    """By what embeddings are multiplied behind the word embeddings: Gemma and Gemma 2 of transformers 4, where these do
    not do it themselves, and Granite.
    """
    if config.model_type in ('gemma', 'gemma2') and not hasattr(words, 'embed_scale'):
        return config.hidden_size**0.5
    return getattr(config, 'embedding_multiplier', 1.0)


def token_input(module: nn.Module) -> dict[str, Any]:
    """Probe of a text encoder of transformers."""
    return dict(input_ids=token_ids(module))


def tokens_alone(module: nn.Module) -> dict[str, Any]:
    """Probe of a stack of transformers that may keep keys and values."""
    return dict(token_input(module), use_cache=False)


def tokens_with_mask(module: nn.Module) -> dict[str, Any]:
    """Probe of a decoder-only language model of transformers. Without a mask, 5 looks at the positions for several
    texts in one row, and on ``meta`` there is nothing to look at.
    """
    given = tokens_alone(module)
    return dict(given, attention_mask=torch.ones_like(given['input_ids']))


def tokens_beside_states(module: nn.Module) -> dict[str, Any]:
    """Probe of a decoder of transformers that attends to the states of an encoder."""
    return {**tokens_alone(module), READ: zeros(module, 1, 2, module.config.d_model)}


def own_probe(module: nn.Module) -> dict[str, Any]:
    """Probe of a backbone of vlpeft, which says itself what that is."""
    return module.probe_input()


def picture(module: nn.Module) -> dict[str, Any]:
    """Probe of a vision backbone of mmpretrain."""
    return dict(x=zeros(module, 1, 3, *module.img_size))
