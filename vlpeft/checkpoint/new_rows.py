"""Rows of a frozen table that the base does not have, such as added tokens: random in every run, so they are saved.

They are stored under ``<key>[<first row>:]``.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from .errors import CheckpointError

_KEY = re.compile(r'(.+)\[(\d+):\]')


def new_rows(state: Mapping[str, Tensor], grown: Mapping[str, int]) -> dict[str, Tensor]:
    """The rows of ``state`` from ``grown[key]`` on, named as they are stored."""
    return {f'{key}[{rows}:]': state[key][rows:].clone() for key, rows in grown.items()}


def stored_rows(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What :func:`new_rows` stored in a checkpoint."""
    return {key: value for key, value in weights.items() if _KEY.fullmatch(key)}


def join_new_rows(weights: Mapping[str, Tensor], state: Mapping[str, Tensor], origin: str) -> dict[str, Tensor]:
    """Weights of a checkpoint with stored rows put below those of the model.

    Args:
        weights: Of the checkpoint.
        state: State dict of the model, whose base is loaded.
        origin: Name of the checkpoint in messages.

    Raises:
        CheckpointError: The model has no such table.
    """
    joined = {}
    for key, value in weights.items():
        if match := _KEY.fullmatch(key):
            key, rows = match[1], int(match[2])
            if key not in state:
                raise CheckpointError(f'{origin} holds rows of {key}, which the model does not have')
            value = torch.cat([state[key][:rows].to(value), value])
        joined[key] = value
    return joined
