"""Trained weights of a model in half precision are kept in float32, in which small updates are not rounded away.

bfloat16 has 8 bits: 1 + 0.003 is 1 there, so that a weight of 1 never moves by steps of a thousandth.
"""

import logging
from collections.abc import Collection
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.utils._pytree import tree_map

HALVES = (torch.bfloat16, torch.float16)


def train_in_float32(model: nn.Module, names: Collection[str]) -> None:
    """Makes some parameters float32. The modules that own them compute in it, and give on what they gave before.

    Args:
        model: The model; what is in float32 already stays as it is, and so does the first weight of each model of
            transformers, which a warning names.
        names: Of the parameters.
    """
    from transformers import PreTrainedModel

    halves = {name: param for name in names if (param := model.get_parameter(name)).dtype in HALVES}
    # transformers takes the first weight of a model for the format of its masks.
    wholes = [part for part in model.modules() if isinstance(part, PreTrainedModel)]
    firsts = {id(next(part.parameters())) for part in wholes}
    owners = [part for part in model.modules() if any(id(param) in firsts for param in part.parameters(recurse=False))]
    kept = {id(param) for part in owners for param in part.parameters(recurse=False)}
    if left := [name for name, param in halves.items() if id(param) in kept]:
        print_log(
            f'{len(left)} trained parameters stay in half precision, in which small updates are lost, since '
            f'transformers tells the number format of a model by them: {", ".join(left[:4])}; '
            "dtype='float32' keeps all of them",
            'current',
            logging.WARNING,
        )
    params = [param for param in halves.values() if id(param) not in kept]
    formats = {id(param): param.dtype for param in params}
    for param in params:
        param.data = param.data.float()
    for module in model.modules():
        halves = [formats[id(param)] for param in module.parameters(recurse=False) if id(param) in formats]
        if halves:
            # Before and after all that methods do there.
            module.register_forward_pre_hook(_enter, prepend=True, with_kwargs=True)
            module.register_forward_hook(_Leave(halves[0]))


def _enter(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
    # Not always float32: where weights are split over processes, they may be gathered in half precision.
    dtype = next(param.dtype for param in module.parameters(recurse=False))
    return tree_map(lambda value: _as(value, dtype), (args, kwargs))


class _Leave:
    """A hook, of a class of its own so that a model can be copied."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def __call__(self, module: nn.Module, args: tuple, output: Any) -> Any:
        return tree_map(lambda value: _as(value, self.dtype), output)


def _as(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
