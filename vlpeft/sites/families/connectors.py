"""Connectors that lie not in a tower but beside it, in the model that holds both."""

from dataclasses import replace
from typing import NamedTuple

from torch import nn

from ..paths import UP, below, is_below
from ..schema import OuterPart, SiteError, Tap, Tower
from .parts import connector, linear
from .registry import check_class_name, describe, names_of, usual_role


class _Connector(NamedTuple):
    tower: str
    maps: dict[str, str]


#: By top-level module and class name of the model that holds towers.
CONNECTORS: dict[str, list[_Connector]] = {}

#: What configs call the layers of a vision tower whose states are its features.
FEATURE_LAYERS = ('vision_feature_layer', 'vision_feature_layers')
#: Modules that models of transformers call their connector: out of which kind of tower it leads, its path, and the
#: linear maps below it by role. Of Gemma 3 a bare parameter is the map.
BESIDE: tuple[tuple[str, str, dict[str, str]], ...] = (
    ('vision', 'multi_modal_projector', dict(fc1='linear_1', fc2='linear_2')),
    ('vision', 'multi_modal_projector', dict(proj='linear')),
    ('vision', 'multi_modal_projector', dict(proj='linear_1')),
    ('vision', 'multi_modal_projector', dict(weight='mm_input_projection_weight')),
    ('vision', 'connector', dict(proj='modality_projection.proj')),
    (
        'vision',
        'connector',
        dict(
            gate='modality_projection.gate_proj', up='modality_projection.up_proj', down='modality_projection.down_proj'
        ),
    ),
    ('vision', 'aligner', dict(fc1='linear1', fc2='linear2')),
    ('vision', 'head_linear', dict(proj='')),
    ('qformer', 'language_projection', dict(proj='')),
)


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
    module = model.get_submodule(path)
    tower = describe(module, name)
    inside, holder = path, path
    while holder:
        holder = holder.rpartition('.')[0]
        inside = path.removeprefix(holder).removeprefix('.')
        found = model.get_submodule(holder)
        up = UP * len(inside.split('.'))
        tower = _used_in(tower, module, found)
        for key in names_of(found):
            for known in CONNECTORS.get(key, ()):
                if is_below(known.tower, inside):
                    return _connected(tower, found, up, key, known)
        if any(key.startswith('transformers.') for key in names_of(found)):
            for role, root, maps in BESIDE:
                if role == usual_role(module) and _holds(found, root, maps):
                    return _beside(tower, found, up, root, maps)
    return tower


def _used_in(tower: Tower, module: nn.Module, holder: nn.Module) -> Tower:
    """A vision tower without its last blocks, and the norms behind them, where the model takes its features from before
    them.
    """
    config = getattr(holder, 'config', None)
    name = next((name for name in FEATURE_LAYERS if getattr(config, name, None) is not None), None)
    if name is None or tower.idle is not None or usual_role(module) != 'vision':
        return tower
    layers, count = getattr(config, name), len(tower.blocks)
    # Layer 0 is what enters the first block.
    asked = [layers] if isinstance(layers, int) else layers
    used = max(layer if layer >= 0 else count + 1 + layer for layer in asked)
    if used >= count:
        return tower
    paths = [path for path, _ in module.named_modules()]
    end = paths.index(f'{tower.block_path}.{used}')
    return replace(
        tower,
        blocks=tower.blocks[:used],
        norms=tower.norms and tuple(path for path in tower.norms if paths.index(path) < end),
        final_norm=None,
        idle=f'{type(holder).__name__} takes its features from layer {layers}, before the last '
        f'{"block" if used == count - 1 else f"{count - used} blocks"}',
    )


def _connected(tower: Tower, holder: nn.Module, up: str, key: str, known: _Connector) -> Tower:
    try:
        sites = {role: replace(linear(holder, path), path=up + path) for role, path in known.maps.items()}
    except AttributeError as error:
        raise SiteError(f'the connector of tower "{tower.name}" is not where {key} has it: {error}') from error
    beside = {site.path: holder.get_submodule(known.maps[role]) for role, site in sites.items()}
    return replace(tower, outside={**tower.outside, **connector(sites)}, beside=beside)


def _holds(holder: nn.Module, root: str, maps: dict[str, str]) -> bool:
    found = getattr(holder, root, None)
    if not isinstance(found, nn.Module):
        return False
    there = {name for name, part in found.named_modules() if hasattr(part, 'in_features')}
    return all(path in there or path in found._parameters for path in maps.values())


def _beside(tower: Tower, holder: nn.Module, up: str, root: str, maps: dict[str, str]) -> Tower:
    """A connector that :data:`BESIDE` names."""
    module, path = holder.get_submodule(root), up + root
    if 'weight' in maps:
        width = module.get_parameter(maps['weight']).shape[-1]
        part, sites = OuterPart('connector', Tap(path, 'output'), width, modules=(path,)), {}
    else:
        names = {role: below(root, name) for role, name in maps.items()}
        sites = {role: replace(linear(holder, name), path=up + name) for role, name in names.items()}
        part = replace(connector(sites)['connector'], modules=(path,))
    beside = {site.path: holder.get_submodule(site.path.removeprefix(up)) for site in sites.values()}
    return replace(tower, outside={**tower.outside, 'connector': part}, beside={**beside, path: module})
