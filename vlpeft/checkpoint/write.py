"""A model's weights as a file of some layout holds them: the way back from our keys."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from .checkpoint import Checkpoint
from .constants import constants
from .dialects import Dialect, get_dialect
from .errors import CheckpointError
from .places import METHOD_PART, below, of_one_method, tower_paths
from .report import shorten
from .tied import unique_state


class Written(NamedTuple):
    """What a file holds, and what it leaves out: reason -> our keys."""

    content: dict[str, Any]
    left_out: dict[str, list[str]]


def to_layout(name: str, state: Mapping[str, Tensor], model: nn.Module) -> Written:
    """Weights in a layout.

    Args:
        name: Of the layout.
        state: Weights by the model's keys; trained parts alone are enough for a layout that holds such.
        model: Says where its towers are and which keys they have; it may be on the meta device.

    Raises:
        CheckpointError: The layout is read only; it has no place for the model or for a key; ``state`` lacks keys of a
            tower that a file of this layout holds; or its layout could not be told from the written keys.
    """
    layout = get_dialect(name)
    if layout.read_only:
        raise CheckpointError(f'the {name} layout is read only: {layout.read_only}')
    layout = layout.of_model(model)
    fixed, paths = constants(model), tower_paths(model)
    weights = {key: value for key, value in unique_state(model).items() if key not in fixed}
    if layout.tower:
        path = _only_tower(layout, weights, paths, type(model).__name__)
        _must_be_whole(layout, [path], weights, state)
        content = layout.from_vlpeft(below(path, state))
        left_out = {f'the layout holds {path} alone': [key for key in state if not key.startswith(f'{path}.')]}
    else:
        towers = [tower for tower in layout.towers if tower in paths]
        if layout.whole:
            _must_be_whole(layout, towers, weights, state)
        named = state if layout.several_methods else _named(layout, state)
        content, left_out = layout.from_vlpeft(named), layout.dropped_keys(named)
    if not layout.matches(Checkpoint.of(content).weights):
        raise CheckpointError(
            f'the {name} layout is not for this {type(model).__name__}: a file of it could not be told from others'
        )
    return Written(content, {reason: found for reason, found in left_out.items() if found})


def _only_tower(layout: Dialect, weights: Mapping[str, Tensor], paths: Collection[str], kind: str) -> str:
    """Path of the tower that a layout of one tower has the most names for."""
    known = {path: layout.names(below(path, weights)) for path in paths}
    most = max(known.values(), default=0)
    fitting = [path for path, count in known.items() if count == most]
    if not most:
        raise CheckpointError(f'the {layout.name} layout has no place for any tower of a {kind}: {", ".join(paths)}')
    if len(fitting) > 1:
        raise CheckpointError(
            f'the {layout.name} layout holds one tower, and {" and ".join(fitting)} of a {kind} fit it equally'
        )
    return fitting[0]


def _must_be_whole(
    layout: Dialect, towers: Collection[str], keys: Collection[str], state: Mapping[str, Tensor]
) -> None:
    inside = tuple(f'{tower}.' for tower in towers)
    if absent := [key for key in keys if key.startswith(inside) and key not in state]:
        raise CheckpointError(
            f'the {layout.name} layout holds {" and ".join(towers)} whole, and {len(absent)} keys of that are missing '
            f'({shorten(absent)}); name the base with --base'
        )


def _named(layout: Dialect, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Keys of one of several methods as those of the only one, which is all that released layouts know."""
    named: dict[str, Tensor] = {}
    for key, value in state.items():
        name = of_one_method(key)
        if name in named:
            raise CheckpointError(
                f'the {layout.name} layout holds one method, and several of {METHOD_PART}.parts have {name}'
            )
        named[name] = value
    return named
