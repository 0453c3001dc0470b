"""What can be read off the modules of methods that no weights of a base can hold."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vlpeft.adapters.aurora import GATE_SCALE, AuroraLinear, QueryGate
from vlpeft.adapters.bitfit import Offset
from vlpeft.adapters.bottleneck_layer import BottleneckLayer, PerTask
from vlpeft.adapters.compacter import PHMLinear
from vlpeft.adapters.epalm import Perceiver
from vlpeft.adapters.gates import GateLayer, MiddleYGate
from vlpeft.adapters.hyperformer import HyperNet
from vlpeft.adapters.ia3 import Scale
from vlpeft.adapters.lora_layer import LoRALinear
from vlpeft.adapters.norm_tuning import NormChange
from vlpeft.adapters.prefix_tuning import Prefix
from vlpeft.adapters.side_network import SideNetwork
from vlpeft.adapters.soft_prompt import SoftPrompt
from vlpeft.adapters.ssf import ScaleShift
from vlpeft.adapters.uniadapter_layer import KeyValueAdapter, UniAdapterLayer
from vlpeft.adapters.vera import VeRALinear
from vlpeft.adapters.vl_pet import VLPETLayer
from vlpeft.adapters.vpt import VisualPrompt
from vlpeft.sites import parameters_of

#: (part, depth, quantity, value[, low, high]); the part adds to that of the place, a depth takes its place.
Found = Iterator[tuple]
#: What :meth:`Adapter.weight_changes` tells of.
IN_WEIGHTS = (AuroraLinear, LoRALinear, NormChange, Offset, Scale, ScaleShift, VeRALinear)


def unit_sizes(unit: nn.Module, edit: str, given: Mapping[str, Any], merged: bool) -> Found:
    """Numbers of a unit of a method.

    Args:
        unit: The module that edits.
        edit: Name of its method that does.
        given: What that is told.
        merged: Whether the method's changes of weights are known already.
    """
    for kind, read in READ.items():
        if isinstance(unit, kind):
            yield from read(unit, edit, given)
            return
    if merged:
        return
    if isinstance(unit, IN_WEIGHTS):
        yield from _in_weights(unit)
        return
    own = [param.double().square().sum() for param in parameters_of(unit)]
    if own:
        yield '', None, 'parameters', float(torch.stack(own).sum().sqrt())


def _in_weights(unit: nn.Module) -> Found:
    """Of a method that could be merged, but for another place where it acts."""
    if isinstance(unit, (Scale, ScaleShift)):
        yield '', None, 'scale', float((unit.scale.double() - 1).square().mean().sqrt())
    elif isinstance(unit, NormChange):
        yield '', None, 'scale', float(unit.scale.double().square().mean().sqrt())
    elif not isinstance(unit, Offset):
        yield '', None, 'weight_change', float(unit.weight_change().double().norm())
    added = getattr(unit, 'shift', getattr(unit, 'offset', None))
    if added is not None:
        yield '', None, 'bias_change', float(added.double().norm())


def _matrix(linear: nn.Module) -> Tensor:
    """(out, in) in float64."""
    return (linear.weight.T if isinstance(linear, PHMLinear) else linear.weight).double()


def _product(up: nn.Module, down: nn.Module, scale: float | Tensor = 1.0) -> float:
    """‖s W_up W_down‖, by matrices of the size of the bottleneck."""
    up, down = _matrix(up), _matrix(down)
    gram = (up.T @ up) * (down @ down.T)
    return abs(float(scale)) * float(gram.sum().clamp(min=0).sqrt())


def _numbers(quantity: str, values: Tensor, part: str = '', depth: int | None = None) -> tuple:
    values = values.double()
    return part, depth, quantity, float(values.mean()), float(values.min()), float(values.max())


def _bottleneck(unit: BottleneckLayer, edit: str, given: Mapping) -> Found:
    tasks = next((maps for maps in (unit.down, unit.up) if isinstance(maps, PerTask)), {'': None})
    for task in tasks:
        down, up = (maps[task] if isinstance(maps, PerTask) else maps for maps in (unit.down, unit.up))
        yield task and f'({task})', None, 'bottleneck', _product(up, down, unit.scale)


def _uniadapter(unit: UniAdapterLayer, edit: str, given: Mapping) -> Found:
    term = edit.removeprefix('add_')
    if term == 'multimodal':
        # LN_cross follows: its gain is what scales the sum of both.
        whole = (_matrix(unit.up_multimodal) + _matrix(unit.up_text)) @ _matrix(unit.down)
        value = float((unit.norm_cross.weight.double()[:, None] * whole).norm()) * abs(float(unit.scale))
    else:
        value = _product(getattr(unit, f'up_{term}'), unit.down, unit.scale)
    yield f'({term})', None, 'bottleneck', value


def _key_value(unit: KeyValueAdapter, edit: str, given: Mapping) -> Found:
    yield '', None, 'weight_change', _product(unit.up, unit.down, unit.scale)


def _gate(unit: GateLayer, edit: str, given: Mapping) -> Found:
    if isinstance(unit, VLPETLayer):
        yield from _bottleneck(unit.bottleneck, edit, given)
    if isinstance(unit.gate, MiddleYGate):
        yield _numbers('gate', unit.scale * unit.gate(None, None))


def _query_gate(unit: QueryGate, edit: str, given: Mapping) -> Found:
    for name in ('self', 'cross'):
        yield _numbers('gate', GATE_SCALE * getattr(unit, f'{name}_scale'), f'query gate, {name}-attention')


def _side(unit: SideNetwork, edit: str, given: Mapping) -> Found:
    for depth, gate in zip(unit.depths, unit.gates):
        yield 'ladder gate μ', depth, 'gate', float(torch.sigmoid(gate.double() / unit.temperature))


def _perceiver(unit: Perceiver, edit: str, given: Mapping) -> Found:
    yield f'level {unit.level}', None, 'connector', float(_matrix(unit.connector).norm())


def _rows(unit: SoftPrompt, edit: str, given: Mapping) -> Found:
    if edit in ('enter', 'fill'):
        yield _numbers('rows', unit().norm(dim=-1), 'prompt')


def _prefix(unit: Prefix, edit: str, given: Mapping) -> Found:
    for depth, pair in enumerate(unit.pairs()):
        for name, rows in zip(('keys', 'values'), pair):  # (heads, P, E)
            yield _numbers('rows', rows.transpose(0, 1).flatten(1).norm(dim=-1), f'prefix {name}', depth)


def _visual(unit: VisualPrompt, edit: str, given: Mapping) -> Found:
    if edit == 'insert':
        yield _numbers('rows', unit.table.norm(dim=-1), 'prompt')


def _generated(unit: HyperNet, edit: str, given: Mapping) -> Found:
    depth, kind = given['depth'], given['kind']
    for task, vector in unit.shared[0].vectors.items():
        u = unit.norm(unit.project(torch.cat([vector, unit.depths.weight[depth]])))
        up, down = (unit.generators[kind][side](u)[0].double() for side in ('up', 'down'))
        yield f'({task})', None, 'bottleneck', float((up @ down).norm())


#: In this order: a class after those that are made of it.
READ: dict[type, Callable[..., Found]] = {
    BottleneckLayer: _bottleneck,
    UniAdapterLayer: _uniadapter,
    KeyValueAdapter: _key_value,
    GateLayer: _gate,
    QueryGate: _query_gate,
    SideNetwork: _side,
    Perceiver: _perceiver,
    Prefix: _prefix,
    SoftPrompt: _rows,
    VisualPrompt: _visual,
    HyperNet: _generated,
}
