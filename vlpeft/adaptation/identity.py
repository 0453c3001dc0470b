"""Which base an adapter was trained on, told from the weights themselves.

A model of another library has no file whose hash could be recorded. A few numbers of every frozen tensor, in an order
that does not depend on names and rounded to bfloat16, tell two bases apart, and are the same for a base in single
precision and in bfloat16.
"""

import hashlib
from collections.abc import Collection, Mapping

import torch

from vlpeft.sites import Tower

SAMPLES = 32


@torch.no_grad()
def fingerprint(towers: Mapping[str, Tower], trained: Collection[int] = ()) -> str | None:
    """64 hexadecimal digits of the frozen weights of towers; None where they hold no numbers, as on ``meta``.

    Args:
        towers: By name.
        trained: ``id`` of parameters that train, which are left out. Defaults to none.
    """
    digest = hashlib.sha256()
    for name in sorted(towers):
        for param in towers[name].module.parameters():
            if param.is_meta:
                return None
            if id(param) in trained:
                continue
            flat = param.detach().reshape(-1)
            step = max(len(flat) // SAMPLES, 1)
            sample = flat[::step][:SAMPLES].to('cpu', torch.bfloat16).contiguous()
            digest.update(f'{name}{tuple(param.shape)}'.encode())
            digest.update(sample.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()
