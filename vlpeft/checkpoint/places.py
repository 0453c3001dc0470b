"""Where in a model the towers and the method of a file are: a layout names them, the model says where it has them.

A tower of the file is the part of the model that has its name, else the tower that has the most of its keys. A method
is ``adapter``, or among several ``adapter.parts.{i}``, whichever has the key.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from torch import Tensor, nn

from .errors import CheckpointError

#: The part of a model that holds its method.
METHOD_PART = 'adapter'
_ONE_OF_SEVERAL = re.compile(rf'((?:momentum\.)?{METHOD_PART}\.)parts\.\d+\.')


class Places(NamedTuple):
    """How keys are called in the model whose parts are found.

    Attributes:
        towers: Name of a tower in the layout -> its path in the model.
        method: Key of the method in the layout -> in the model, where it is one of several.
    """

    towers: Mapping[str, str]
    method: Mapping[str, str]

    def ours(self, key: str) -> str:
        """The model's name of a key that the layout gives."""
        return _moved(self.method.get(key, key), self.towers)

    def theirs(self, key: str) -> str:
        """The layout's name of a key of the model."""
        return _moved(of_one_method(key), {path: name for name, path in self.towers.items()})


def tower_paths(model: nn.Module) -> list[str]:
    """Paths of what may be a tower: the backbones of a task model and the towers in them, else all children."""
    paths = getattr(model, 'tower_paths', None)
    if paths is None:
        return [name for name, _ in model.named_children()]
    return list(dict.fromkeys([*model.backbones, *paths.values()]))


def find_places(
    state: Mapping[str, Tensor], towers: Iterable[str], target: Mapping[str, Tensor], paths: Iterable[str], origin: str
) -> Places:
    """Finds the towers and the method of a file in a model.

    Args:
        state: Weights of the file, as its layout calls them.
        towers: Names by which keys of towers begin.
        target: State dict of the model.
        paths: :func:`tower_paths` of the model.
        origin: Name of the checkpoint in messages.

    Raises:
        CheckpointError: A tower of the file could be several of the model's, or a key that of several methods.
    """
    file = {name: found for name in towers if (found := below(name, state).keys())}
    model = {path: found for path in paths if (found := below(path, target).keys())}
    places = {name: name for name in file if name in model}
    while shared := {
        (name, path): count
        for name in file.keys() - places.keys()
        for path in model
        if not any(_nested(path, taken) for taken in places.values()) and (count := len(file[name] & model[path]))
    }:
        most = max(shared.values())
        fitting = [pair for pair, count in shared.items() if count == most]
        if len(fitting) > 1:
            raise CheckpointError(
                f'{origin}: it is not clear which tower is which: '
                + ' or '.join(sorted(f'{name} of the file as {path} of the model' for name, path in fitting))
                + '; name the part that the file is for, such as base_checkpoint.vision.source'
            )
        places.update(fitting)
    return Places(places, _places_of_method(state, target, origin))


def below(path: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is inside of a module, by names below its path."""
    return {key[len(path) + 1 :]: value for key, value in state.items() if key.startswith(f'{path}.')}


def of_one_method(key: str) -> str:
    """A key of one of several methods as that of the only one; any other as it is."""
    match = _ONE_OF_SEVERAL.match(key)
    return match[1] + key[match.end() :] if match else key


def _places_of_method(keys: Collection[str], target: Collection[str], origin: str) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for key in target:
        if _ONE_OF_SEVERAL.match(key):
            found.setdefault(of_one_method(key), []).append(key)
    moved = {key: found[key] for key in keys if key in found and key not in target}
    if several := next((places for places in moved.values() if len(places) > 1), None):
        raise CheckpointError(f'{origin}: one tensor of its method could be {" or ".join(several)} of the model')
    return {key: places[0] for key, places in moved.items()}


def _moved(key: str, paths: Mapping[str, str]) -> str:
    return next((path + key[len(name) :] for name, path in paths.items() if key.startswith(f'{name}.')), key)


def _nested(path: str, other: str) -> bool:
    return f'{path}.'.startswith(f'{other}.') or f'{other}.'.startswith(f'{path}.')
