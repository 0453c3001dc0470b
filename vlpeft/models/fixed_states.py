"""Weights that state dicts leave alone: those of a base in 8 or 4 bits, which torch cannot read back."""

from collections.abc import Collection
from typing import Any

from torch import nn


def leave_out_of_states(model: nn.Module, keys: Collection[str]) -> None:
    """Lets ``model.state_dict()`` leave out keys, and ``model.load_state_dict(…)`` not miss them."""
    keys = frozenset(keys)

    def without(_: nn.Module, state: dict[str, Any], prefix: str, __: dict) -> None:
        for key in keys:
            state.pop(prefix + key, None)

    def not_missing(_: nn.Module, incompatible: Any) -> None:
        incompatible.missing_keys[:] = [key for key in incompatible.missing_keys if key not in keys]

    model.register_state_dict_post_hook(without)
    model.register_load_state_dict_post_hook(not_missing)
