"""Verifying the parts of a fused qkv: by their sizes, queries, keys and values fit in any order."""

import torch

from .schema import SiteError, Tower
from .taps import Capture
from .twin import HEADS, run_watched, twin_of
from .weights import bias_rows, weight_rows


@torch.no_grad()
def verify_fused(tower: Tower, kind: str) -> str | None:
    """Compares the parts of a fused qkv with what they are called, in a twin: an attention whose queries and keys are
    zero returns the mean of the values that a token sees; of the first token of a causal tower, its own.
    """
    if 'v' not in (maps := tower.blocks[0].sublayers['self_attn'].linears) or maps['v'].span is None:
        return None
    try:
        twin = twin_of(tower)
        maps = twin.blocks[0].sublayers['self_attn'].linears
        for role in 'qk':
            module = twin.at(maps[role].path)
            weight_rows(module, maps[role].span).zero_()
            if (bias := bias_rows(module, maps[role].span)) is not None:
                bias.zero_()
        values, mixed = (Capture(tap, copies=True) for tap in (maps['v'].output, maps['o'].input))
        run_watched(twin, [values, mixed])
    except Exception as error:
        return (
            f'tower "{tower.name}": vlpeft is not tested with blocks of class {kind}, and whether the parts of their '
            f'fused qkv are in this order could not be verified ({type(error).__name__}: {error})'
        )
    v, found = values.value, mixed.value
    v = v[..., :1, :] if twin.causal else v.mean(-2, keepdim=True)
    found = found[..., :1, :] if twin.causal else found
    # Neighbouring heads share those of grouped values.
    heads = v.unflatten(-1, (-1, _head_width(twin)))
    v = heads.repeat_interleave(found.shape[-1] // v.shape[-1], -2).flatten(-2)
    if not torch.allclose(found, v.expand_as(found), rtol=1e-9, atol=1e-12):
        raise SiteError(
            f'tower "{tower.name}": the description does not fit {kind}: the parts of the fused map {maps["v"].path} '
            'are not queries, keys and values one after another; leave the tower out with towers=dict(…), or describe '
            'it with @vlpeft.sites.family'
        )
    return None


def _head_width(tower: Tower) -> int:
    config = tower.module.config
    heads = next(getattr(config, name) for name in HEADS if hasattr(config, name))
    given = getattr(config, 'head_dim', None)
    return given or tower.blocks[0].sublayers['self_attn'].linears['q'].out_features // heads
