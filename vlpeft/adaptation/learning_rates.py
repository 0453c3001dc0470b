"""LoRA+: the second factor B of low-rank changes B A learns at λ times the rate of all else.

    η_B = λ η_A,   λ > 1

Hayou et al., "LoRA+: Efficient Low Rank Adaptation of Large Models", ICML 2024.
"""

import math
from collections.abc import Iterable
from typing import Any

from torch import nn

from vlpeft.adapters import Adapter


def lora_plus(adapter: nn.Module, lr: float, ratio: float = 16.0) -> list[dict[str, Any]]:
    """Parameter groups of LoRA+ for any optimizer of torch.

        optimizer = torch.optim.AdamW(vlpeft.lora_plus(adapter, lr=1e-4, ratio=16))

    Args:
        adapter: What :func:`vlpeft.attach` returned, or a task model.
        lr: η of all trained parameters but the factors B.
        ratio: λ. Defaults to 16.

    Raises:
        ValueError: λ is no number above 0, or nothing that trains is such a factor.
    """
    trained = [param for param in adapter.parameters() if param.requires_grad]
    fast = second_factors([adapter], ratio)
    groups = [
        dict(params=[param for param in trained if id(param) not in fast], lr=lr),
        dict(params=[param for param in trained if id(param) in fast], lr=lr * ratio),
    ]
    return [group for group in groups if group['params']]


def second_factors(models: Iterable[nn.Module], ratio: float) -> set[int]:
    """``id`` of the trained factors B of all methods in some modules.

    Raises:
        ValueError: As :func:`lora_plus`.
    """
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float)) or not 0 < ratio < math.inf:
        raise ValueError(f'LoRA+: the ratio of learning rates is {ratio!r}; it is a number above 0')
    methods = [module for model in models for module in model.modules() if isinstance(module, Adapter)]
    found = {id(param) for method in methods for param in method.second_factors() if param.requires_grad}
    if not found:
        names = sorted({type(method).__name__ for method in methods})
        raise ValueError(
            'LoRA+ gives the second factors of LoRA a learning rate of their own, but '
            f'{", ".join(names) or "no method"} has none that trains'
        )
    return found
