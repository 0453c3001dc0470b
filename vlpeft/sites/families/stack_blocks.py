"""One transformer block by the names of its parts, whatever its class: what is a norm, an attention, a linear map and
its role is told by what libraries call them.

y = x + h, first for the attention, then for the FFN. h leaves the output projection, a norm behind the branch, or a
layer scale; where a bare parameter scales it, it passes no module.
"""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import nn

from ..schema import Block, LinearSite, SiteError, SubLayer, Tap
from .parts import Linears

ATTENTION = ('self_attn', 'attention', 'attn')
FFN = ('mlp', 'feed_forward', 'ffn')
#: The two maps of an FFN that is no module of its own; the second adds what enters the block's second half.
BARE_FFN = dict(fc1='intermediate.dense', fc2='output.dense')
#: Norms that the stream enters before a branch. What is called ``post_attention_layernorm`` is one of them, unless
#: another stands before the FFN.
FIRST = (
    'input_layernorm',
    'layer_norm1',
    'norm1',
    'layernorm_before',
    'attention_norm',
    'rms_norm1',
    'operator_norm',
    'pre_attention_layer_norm',
)
SECOND = (
    'pre_feedforward_layernorm',
    'post_attention_layernorm',
    'layer_norm2',
    'norm2',
    'layernorm_after',
    'ffn_norm',
    'rms_norm2',
    'pre_mlp_layer_norm',
)
#: Norms that a branch passes before it is added to the stream.
BEHIND_ATTENTION = ('post_self_attn_layernorm', 'post_attention_layernorm')
BEHIND_FFN = ('post_mlp_layernorm', 'post_feedforward_layernorm')
#: Modules, or bare parameters, that scale the branches.
SCALES = (('layer_scale1', 'layer_scale2'), ('lambda_1', 'lambda_2'))

#: Linear maps by role, below an attention or below the module in it that holds queries, keys and values.
QUERIES = (
    dict(q='q_proj', k='k_proj', v='v_proj'),
    dict(q='query', k='key', v='value'),
    dict(q='attention.query', k='attention.key', v='attention.value'),
)
FUSED = ('qkv', 'qkv_proj')
OUTPUT = ('o_proj', 'out_proj', 'proj', 'projection', 'projection_layer', 'output.dense', 'output')
MAPS = (
    dict(gate='gate_proj', up='up_proj', down='down_proj'),
    dict(gate='w1', up='w3', down='w2'),
    dict(gate='wi_0', up='wi_1', down='wo'),
    dict(fc1='fc1', fc2='fc2'),
    dict(fc1='linear_fc1', fc2='linear_fc2'),
    dict(fc1='lin1', fc2='lin2'),
    dict(fc1='up_proj', fc2='down_proj'),
)
#: The first map of a gated FFN that computes gate and up, in this order, and the last.
FUSED_MAPS = (('gate_up_proj', 'down_proj'), ('weights_in', 'weights_out'))


@dataclass(frozen=True)
class _Names:
    """Where the parts of a block are, below it; ``ffn`` None where it is no module, ``scales`` where it scales its
    branches.
    """

    attention: str
    ffn: str | None
    first: str | None
    second: str | None
    behind: tuple[str | None, str | None]
    scales: tuple[str, str] | None


def _first_of(names: Iterable[str], there: Callable[[str], bool]) -> str | None:
    return next((name for name in names if there(name)), None)


def _at(module: nn.Module, path: str) -> nn.Module | None:
    for name in path.split('.'):
        module = module._modules.get(name) if module is not None else None
    return module


def is_block(module: nn.Module) -> bool:
    """Whether a module holds an attention and an FFN, as a transformer block does."""
    ffn = (*FFN, next(iter(BARE_FFN.values())))
    return all(_first_of(names, lambda name: _at(module, name) is not None) for names in (ATTENTION, ffn))


def _names_of(block: nn.Module) -> _Names:
    kind = type(block).__name__
    there = {name for name, child in block.named_children()}
    norms = [name for name, child in block.named_children() if 'norm' in type(child).__name__.lower()]
    first, second = (_first_of(names, there.__contains__) for names in (FIRST, SECOND))
    if len(norms) == 1:
        raise SiteError(
            f'attention and FFN of {kind} act side by side, behind the one norm {norms[0]}: there is no stream between '
            'them, on which methods of vlpeft rely'
        )
    if first is None and second == BEHIND_ATTENTION[1] and BEHIND_FFN[1] in there:
        # Norms behind both branches alone, as in OLMo 2: the stream enters the branches as it is.
        second = None
    elif first is None or second is None:
        raise SiteError(
            f'it is not known where the stream of {kind} enters its {"attention" if first is None else "FFN"}; its '
            f'norms are {", ".join(norms) or "none"}'
        )
    behind = tuple(
        _first_of([name for name in names if name not in (first, second)], there.__contains__)
        for names in (BEHIND_ATTENTION, BEHIND_FFN)
    )
    if unknown := [name for name in norms if name not in (first, second, *behind)]:
        raise SiteError(f'it is not known where the norm {unknown[0]} of {kind} acts')
    scales = next((pair for pair in SCALES if all(getattr(block, name, None) is not None for name in pair)), None)
    found = (_first_of(names, there.__contains__) for names in (ATTENTION, FFN))
    return _Names(*found, first, second, behind, scales)


def _linear(block: nn.Module, path: str) -> LinearSite | None:
    found = _at(block, path)
    # Quantised maps are of other classes and know their widths too.
    widths = [getattr(found, name, None) for name in ('in_features', 'out_features')]
    return None if None in widths else LinearSite(path, *widths)


def _by_role(block: nn.Module, root: str, tables: Iterable[dict[str, str]]) -> Linears:
    for table in tables:
        found = {role: _linear(block, f'{root}.{name}') for role, name in table.items()}
        if all(found.values()):
            return found
    return {}


def _parts(site: LinearSite, sizes: dict[str, int]) -> Linears:
    """The rows of a fused map by role, one after another."""
    parts, start = {}, 0
    for role, size in sizes.items():
        parts[role] = LinearSite(site.path, site.in_features, size, span=(start, start + size))
        start += size
    return parts


def _attention_maps(block: nn.Module, root: str) -> Linears:
    found = _by_role(block, root, QUERIES)
    output = next((site for name in OUTPUT if (site := _linear(block, f'{root}.{name}')) is not None), None)
    whole = next((site for name in FUSED if (site := _linear(block, f'{root}.{name}')) is not None), None)
    if not found and whole is not None and output is not None:
        queries = output.in_features
        rest = (whole.out_features - queries) // 2
        found = _parts(whole, dict(q=queries, k=rest, v=rest))
    if not found or output is None:
        kind = type(block).__name__
        raise SiteError(f'the linear maps of the attention {root} of {kind} are called by none of the known names')
    return dict(found, o=output)


def _ffn_maps(block: nn.Module, root: str | None) -> Linears:
    """None of experts, each of which sees a part of the tokens only."""
    if root is None:
        return {role: _linear(block, name) for role, name in BARE_FFN.items()}
    for first, last in FUSED_MAPS:
        both, down = _linear(block, f'{root}.{first}'), _linear(block, f'{root}.{last}')
        if both is not None and down is not None:
            return dict(_parts(both, dict(gate=down.in_features, up=down.in_features)), down=down)
    return _by_role(block, root, MAPS)


def argument_of(module: nn.Module, keyword: str) -> int | None:
    """Index of an argument of a module's call; None where its signature does not name it."""
    names = list(inspect.signature(type(module).forward).parameters)[1:]
    return names.index(keyword) if keyword in names else None


def _moved(maps: Linears, path: str) -> Linears:
    return {
        role: LinearSite(f'{path}.{site.path}', site.in_features, site.out_features, site.span)
        for role, site in maps.items()
    }


def describe_block(block: nn.Module, path: str, depth: int, masked: bool) -> tuple[Block, list[str]]:
    """The sites of a block and the paths of its norms.

    Args:
        block: The module.
        path: Where it is below the tower's root.
        depth: Its index.
        masked: Whether its attention gets a mask that tells padding.

    Raises:
        SiteError: Its parts are not called by the known names, or act otherwise than one after the other.
    """
    names = _names_of(block)
    attention, ffn = _attention_maps(block, names.attention), _ffn_maps(block, names.ffn)
    branches = [attention['o'].path, names.ffn or ffn['fc2'].path]
    if names.scales is not None:
        branches = [name if _at(block, name) is not None else None for name in names.scales]
    branches = [after or branch for after, branch in zip(names.behind, branches)]
    h = [branch and Tap(f'{path}.{branch}', 'output') for branch in branches]
    x, middle = (
        Tap(f'{path}.{norm}', 'input') if norm else Tap(f'{path}.{branch}', 'input', 'hidden_states')
        for norm, branch in ((names.first, names.attention), (names.second, names.ffn))
    )
    mixer = _at(block, names.attention)
    mask = Tap(f'{path}.{names.attention}', 'input', 'attention_mask', argument=argument_of(mixer, 'attention_mask'))
    sublayers = dict(
        self_attn=SubLayer('self_attn', x, h[0], middle, _moved(attention, path)),
        ffn=SubLayer('ffn', middle, h[1], Tap(path, 'output'), _moved(ffn, path)),
    )
    order = (names.first, names.behind[0], names.second, names.behind[1])
    norms = [f'{path}.{name}' for name in order if name is not None]
    norms += [
        f'{path}.{names.attention}.{name}'
        for name, part in mixer.named_modules()
        if 'norm' in type(part).__name__.lower() and getattr(part, 'weight', None) is not None
    ]
    return Block(depth, x, sublayers, mask if masked else None), norms
