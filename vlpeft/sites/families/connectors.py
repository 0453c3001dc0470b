"""Connectors that lie not in a tower but beside it, in the model that holds both."""

from dataclasses import replace
from typing import NamedTuple

from torch import nn

from ..paths import UP, is_below
from ..schema import SiteError, Tower
from .parts import connector, linear
from .registry import check_class_name, describe, names_of


class _Connector(NamedTuple):
    tower: str
    maps: dict[str, str]


#: By top-level module and class name of the model that holds towers.
CONNECTORS: dict[str, list[_Connector]] = {}


def connects(*classes: str, tower: str, **maps: str) -> None:
    """Declares which linear maps of a model lead out of one of its towers.

        connects('transformers.CLIPModel', tower='vision_model', proj='visual_projection')

    Args:
        classes: Of models that hold the tower, each as ``'package.Class'``; classes derived from them are meant too.
        tower: Path of the tower in the model, or of a module that holds it.
        maps: Paths of the linear maps in the model, in the order in which they act, by role: ``proj`` of a single one,
            ``fc1`` and ``fc2`` of two.

    Raises:
        SiteError: A name of another form.
    """
    for name in classes:
        check_class_name('connects', name)
        others = [known for known in CONNECTORS.get(name, ()) if known.tower != tower]
        CONNECTORS[name] = [*others, _Connector(tower, maps)]


def describe_in(model: nn.Module, path: str, name: str) -> Tower:
    """The tower at a path of a model, with the connector that lies beside it.

    A connector of the model stands in the place of one of the backbone's own, which the model does not use then.

    Args:
        model: The model.
        path: Of the backbone; ``''`` where it is the model itself.
        name: The tower's.

    Raises:
        SiteError: As of :func:`describe`, or a connector is not where it is declared to be.
    """
    tower = describe(model.get_submodule(path), name)
    inside, holder = path, path
    while holder:
        holder = holder.rpartition('.')[0]
        inside = path.removeprefix(holder).removeprefix('.')
        found = model.get_submodule(holder)
        for key in names_of(found):
            for known in CONNECTORS.get(key, ()):
                if is_below(known.tower, inside):
                    return _connected(tower, found, UP * len(inside.split('.')), key, known)
    return tower


def _connected(tower: Tower, holder: nn.Module, up: str, key: str, known: _Connector) -> Tower:
    try:
        sites = {role: replace(linear(holder, path), path=up + path) for role, path in known.maps.items()}
    except AttributeError as error:
        raise SiteError(f'the connector of tower "{tower.name}" is not where {key} has it: {error}') from error
    beside = {site.path: holder.get_submodule(known.maps[role]) for role, site in sites.items()}
    return replace(tower, outside={**tower.outside, **connector(sites)}, beside=beside)
