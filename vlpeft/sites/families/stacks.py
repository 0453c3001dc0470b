"""Stacks of equal blocks in models of transformers, described by their structure: language models and vision towers,
alone or in a model that joins them.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ..paths import below
from ..probe import zeros
from ..schema import Block, OuterPart, Patches, SiteError, Tap, Tower
from .parts import connector, decoder_only, linear, patch_embed
from .registry import class_name, names_of, structure
from .stack_blocks import argument_of, describe_block, is_block

#: Where the list of blocks may be below the module that is the tower, and below which of its modules the rest is.
STACKS = {
    'layers': '',
    'blocks': '',
    'layer': '',
    'encoder.layers': '',
    'encoder.layer': '',
    'model.layer': '',
    'transformer.layers': '',
    'model.layers': 'model',
}
WORDS = ('embed_tokens', 'embed_in', 'wte', 'word_embeddings')
PATCHES = (
    'patch_embed',
    'patch_conv',
    'patch_embedding',
    'embeddings.patch_embedding',
    'embeddings.patch_embeddings',
    'embeddings.patch_projection',
)
#: Norms outside of all blocks: those before them, and the one through which the last block's output leaves.
BEFORE = ('ln_pre', 'layernorm_pre', 'pre_layernorm', 'pre_layrnorm', 'post_conv_layernorm', 'embeddings.rms_norm')
AFTER = ('norm', 'post_layernorm', 'layernorm', 'layernorm_post', 'rms_norm', 'final_layernorm', 'embedding_norm')
#: Linear maps of a vision tower that lead out of it, in the order in which they act.
MERGERS = (
    dict(fc1='merger.mlp.0', fc2='merger.mlp.2'),
    dict(fc1='merger.linear_fc1', fc2='merger.linear_fc2'),
)
#: Vision towers whose samples pass as one sequence with a mask, and those that read masks of padded pictures.
PACKED = ('transformers.PixtralVisionModel',)
PADDED = ('Idefics2', 'Idefics3', 'SmolVLM')
#: Backbones that are no stack of equal blocks, and why.
NO_STACKS = {
    'transformers.Florence2VisionBackbone': 'its stream changes its width between stages, and convolutions add to it'
}
#: Blocks whose sites the tests compare with a run of the blocks' own pieces. Others are verified before they are used.
TESTED = frozenset(
    f'transformers.{name}'
    for name in (
        'LlamaDecoderLayer',
        'MistralDecoderLayer',
        'Qwen2DecoderLayer',
        'Qwen3DecoderLayer',
        'Qwen2VLDecoderLayer',
        'Qwen2_5_VLDecoderLayer',
        'Qwen3VLTextDecoderLayer',
        'GemmaDecoderLayer',
        'Gemma2DecoderLayer',
        'Gemma3DecoderLayer',
        'SmolLM3DecoderLayer',
        'Phi3DecoderLayer',
        'Olmo2DecoderLayer',
        'Exaone4DecoderLayer',
        'Glm4vTextDecoderLayer',
        'CLIPEncoderLayer',
        'SiglipEncoderLayer',
        'Siglip2EncoderLayer',
        'Dinov2Layer',
        'PixtralAttentionLayer',
        'Idefics2EncoderLayer',
        'Idefics3EncoderLayer',
        'SmolVLMEncoderLayer',
        'InternVLVisionLayer',
        'Ovis2VisionEncoderLayer',
        'Blip2EncoderLayer',
        'InstructBlipEncoderLayer',
        'Qwen2VLVisionBlock',
        'Qwen2_5_VLVisionBlock',
        'Qwen3VLVisionBlock',
        'Glm4vVisionBlock',
    )
)


def _there(module: nn.Module, path: str) -> bool:
    try:
        return module.get_submodule(path) is not None
    except AttributeError:
        return False


def _first(module: nn.Module, root: str, names: Any) -> str | None:
    return next((path for name in names if _there(module, path := below(root, name))), None)


def _stack(module: nn.Module) -> tuple[str, str] | None:
    """Path of the list of blocks, and of the module that holds what is around them; None where there is no list."""
    if not any(name.startswith('transformers.') for name in names_of(module)):
        return None
    for path, root in STACKS.items():
        # A head of another kind than the usual one makes a model that holds a tower.
        is_tower = not root or hasattr(module, 'lm_head')
        found = module.get_submodule(path) if is_tower and _there(module, path) else None
        if isinstance(found, nn.ModuleList) and len(found) and is_block(found[0]):
            if _first(module, root, WORDS) or _first(module, root, PATCHES):
                return path, root
    return None


def _fits(module: nn.Module) -> bool:
    found = _stack(module)
    if found is None:
        return False
    # A model that holds a language model beside other stacks is no tower itself.
    return not any(
        isinstance(part, nn.ModuleList) and len(part) and is_block(part[0]) and path != found[0]
        for path, part in module.named_modules()
    )


def _role(module: nn.Module) -> str:
    path, root = _stack(module)
    return 'lm' if _first(module, root, WORDS) else 'vision'


def _blocks(module: nn.Module, name: str, path: str, masked: bool) -> tuple[tuple[Block, ...], list[str]]:
    blocks, norms = [], []
    for depth, block in enumerate(module.get_submodule(path)):
        try:
            found, inside = describe_block(block, f'{path}.{depth}', depth, masked)
        except SiteError as error:
            raise SiteError(f'tower "{name}" of {class_name(type(module))}: {error}') from None
        blocks.append(found)
        norms += inside
    return tuple(blocks), norms


def _gains(module: nn.Module, root: str, names: tuple[str, ...]) -> list[str]:
    found = [below(root, name) for name in names]
    return [path for path in found if _there(module, path) and hasattr(module.get_submodule(path), 'weight')]


@structure(_fits, _role)
def stack(module: nn.Module, name: str) -> Tower:
    """Sites of a stack of blocks of transformers."""
    path, root = _stack(module)
    tower = (_language if _first(module, root, WORDS) else _vision)(module, name, path, root)
    return replace(tower, is_tested=all(class_name(type(block)) in TESTED for block in tower.block_modules))


def _language(module: nn.Module, name: str, path: str, root: str) -> Tower:
    blocks, norms = _blocks(module, name, path, masked=True)
    inputs = [replace(block, input=Tap(f'{path}.{block.depth}', 'input', 'hidden_states')) for block in blocks]
    final = next(iter(_gains(module, root, AFTER)), None)
    tower = decoder_only(
        module,
        name,
        root,
        path,
        inputs,
        [*norms, *([final] if final else [])],
        words=_first(module, root, WORDS).removeprefix(f'{root}.'),
        final_norm=final,
    )
    config = module.config
    kinds = getattr(config, 'layer_types', None) or ['sliding_attention']
    return replace(
        tower,
        is_windowed=getattr(config, 'sliding_window', None) is not None and 'sliding_attention' in kinds,
        changes_in_place=hasattr(module.get_submodule(root), '_deepstack_process'),
    )


def _vision(module: nn.Module, name: str, path: str, root: str) -> Tower:
    kind = class_name(type(module))
    padded = any(family in kind for family in PADDED)
    blocks, norms = _blocks(module, name, path, masked=padded)
    first = module.get_submodule(path)[0]
    by_lengths = argument_of(first, 'cu_seqlens') is not None
    after = _gains(module, root, AFTER)
    outside = _patches_of(module, _first(module, root, PATCHES))
    outside.update(_merger(module))
    return Tower(
        name,
        blocks[0].sublayers['self_attn'].linears['o'].out_features,
        blocks,
        module,
        path,
        (*norms, *_gains(module, root, BEFORE), *after),
        patches=_rows(module, by_lengths or kind in PACKED, padded),
        packed=by_lengths or kind in PACKED,
        records_blocks=True,
        outside=outside,
        final_norm=next(iter(after), None),
        probe=_grid if by_lengths else _picture,
    )


def _patches_of(module: nn.Module, path: str) -> dict[str, OuterPart]:
    """The patch embedding: its convolution or linear map, or what holds it where patches enter one by one."""
    found = module.get_submodule(path)
    inner = next(
        (sub for sub, part in found.named_modules() if isinstance(part, (nn.Conv2d, nn.Conv3d, nn.Linear))), ''
    )
    kernel = found.get_submodule(inner)
    if isinstance(kernel, nn.Conv3d):
        return dict(patch_embed=OuterPart('patch_embed', Tap(path, 'output'), kernel.out_channels))
    return patch_embed(module, below(path, inner))


def _merger(module: nn.Module) -> dict[str, OuterPart]:
    """The part of Qwen's kind that joins neighbouring patches and leads to the language model, and those beside it
    that lead there from between the blocks.
    """
    for table in MERGERS:
        if not all(_there(module, path) for path in table.values()):
            continue
        maps = {role: linear(module, path) for role, path in table.items()}
        part = connector(maps)['connector']
        beside = [
            f'deepstack_merger_list.{index}' for index in range(len(getattr(module, 'deepstack_merger_list', ())))
        ]
        for index, inside in enumerate(beside):
            for role in table:
                maps[f'level{index}_{role}'] = linear(module, f'{inside}.{table[role].partition(".")[2]}')
        return dict(connector=replace(part, linears=maps, modules=('merger', *beside)))
    return {}


def _rows(module: nn.Module, packed: bool, padded: bool) -> Patches:
    embeddings = getattr(module, 'embeddings', module)
    first = sum(
        isinstance(getattr(embeddings, name, None), (nn.Parameter, nn.Module))
        for name in ('class_embedding', 'cls_token', 'distillation_token')
    )
    first += getattr(module.config, 'num_register_tokens', 0)
    fixed = None
    if packed:
        fixed = 'the samples of a batch pass as one sequence'
    elif any('rope' in name or 'rotary' in name for name, _ in module.named_children()):
        fixed = 'its rotary positions are those of its own patches'
    elif padded:
        fixed = 'its masks tell padding from its own patches'
    return Patches(first, fixed)


def _sides(size: Any) -> Iterator[int]:
    yield from (size if isinstance(size, (list, tuple)) else (size, size))


def _picture(module: nn.Module) -> dict[str, Any]:
    """Probe: one picture of the size that the tower knows."""
    config = module.config
    pixels = zeros(module, 1, getattr(config, 'num_channels', 3), *_sides(config.image_size))
    if argument_of(module, 'patch_attention_mask') is None:
        return dict(pixel_values=pixels)
    # Read as numbers, so it is never on ``meta``.
    mask = torch.ones(1, *(side // config.patch_size for side in pixels.shape[2:]), dtype=torch.bool)
    return dict(pixel_values=pixels, patch_attention_mask=mask if pixels.is_meta else mask.to(pixels.device))


def _grid(module: nn.Module) -> dict[str, Any]:
    """Probe: the patches of one picture that are joined to one token; their grid is read as numbers."""
    config = module.config
    side = config.spatial_merge_size
    pixels = getattr(config, 'in_channels', None) or config.in_chans
    pixels *= config.temporal_patch_size * config.patch_size**2
    return dict(hidden_states=zeros(module, side * side, pixels), grid_thw=torch.tensor([[1, side, side]]))
