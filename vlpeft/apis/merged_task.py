"""A task model of vlpeft with its method merged: the base in its own layout, and a recipe that needs no method.

    vlpeft_recipe.json            the config, without method; its base is the merged one
    vlpeft_trained.safetensors    trained parts that the base's layout has no place for, such as heads
    lm/model.safetensors, …       each part of the base that has changed, as its makers write it
    vlpeft_model.json             the files and their sha256

It is a folder as :mod:`vlpeft.apis.hub_folder` reads it, so ``get_model`` and the inferencers load it; other programs
load the files of the base.
"""

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vlpeft.adaptation.merging import Merged
from vlpeft.atomic import check_free, write_folder_atomically
from vlpeft.checkpoint import Checkpoint
from vlpeft.checkpoint.coverage import OURS, weight_names
from vlpeft.checkpoint.dialects import get_dialect
from vlpeft.checkpoint.download import fetch
from vlpeft.checkpoint.errors import CheckpointError
from vlpeft.checkpoint.files import SAFETENSORS_SUFFIX, safetensors_bytes
from vlpeft.checkpoint.fit import TRAINING_ONLY
from vlpeft.checkpoint.translate import translate
from vlpeft.checkpoint.write import to_layout
from vlpeft.models.tasks.base import AdaptedModel
from vlpeft.sites import SiteError, is_below, run_alone

from .build import build_model, find_trained, get_model, load_model_config
from .hub_folder import FORMAT, FORMAT_VERSION, INSIDE, LIST, RECIPE, TRAINED

#: How far outputs of the merged model may be from the adapted one's, of the largest.
TOLERANCE = 1e-4


class MergeError(ValueError):
    """What cannot be merged into its base."""


class _Part(NamedTuple):
    """A file of a base: the part that it fills ('' for all), its settings, its layout, and whether it has changed."""

    name: str
    settings: dict[str, Any]
    layout: str
    changed: bool


def merge_task(
    config: str, checkpoint: str | bool, folder: str | Path, overwrite: bool = False, **overrides: Any
) -> str:
    """Writes the folder whole or not at all, reloads it and compares.

    Args:
        config: Config file or name of the zoo.
        checkpoint: Of the run; True for what the zoo publishes.
        folder: Is made; it must be empty if it is there.
        overwrite: Whether a folder of a published or merged model may be replaced. Defaults to False.
        **overrides: Settings of the config's ``model``.

    Returns:
        What was written, and how far its outputs are from those of the adapted model.

    Raises:
        MergeError: No base, a method that weights cannot hold (the message names it), a base whose layout is only read,
            or a model that differs when it is reloaded.
        OccupiedError: The folder holds something.
    """
    check_free(Path(folder), (LIST,), overwrite)
    cfg, entry = load_model_config(config, overrides)
    if not cfg.model.get('base_checkpoint'):
        raise MergeError(f'{config} names no base (model.base_checkpoint) to merge into')
    settings = copy.deepcopy(cfg.to_dict())
    task = build_model(cfg, find_trained(config, entry, checkpoint), True, 'cpu')
    adapted = block_outputs(task)
    parts = list(_merge(task, settings))
    apart = _apart(adapted, block_outputs(task), f'{task.method}: merged')
    written = [part for part in parts if part.changed]
    write_folder_atomically(folder, lambda place: _write(place, task, settings, parts), (LIST,), overwrite)
    told = ', '.join(f'{part.name or "base"} in the {part.layout} layout' for part in written)
    return f"wrote {folder} ({told}; largest difference of the blocks' outputs: {apart})"


def _merge(task: AdaptedModel, settings: Mapping[str, Any]) -> Iterator[_Part]:
    """Merges, and tells of each file of the base what has become of it."""
    names = {id(param): name for name, param in task.named_parameters()}
    changed = {name for name in task.declared if name.partition('.')[0] in task.backbones}
    if task.adapter is not None:
        try:
            merged = Merged(task.adapter, task.towers)
        except SiteError as error:
            raise MergeError(f'{error}; vlpeft publish writes it beside its base') from error
        changed |= {names[id(param)] for param, _ in merged.former}
        task.detach_adapter()
    if not changed:
        raise MergeError(f'{task.method} changes nothing of its base; vlpeft publish writes what was trained')
    base = settings['model']['base_checkpoint']
    for part, record in {'': base}.items() if 'source' in base else base.items():
        touched = any(not part or is_below(part, name) for name in changed)
        read = translate(Checkpoint.read(fetch(record['source'])), keys=weight_names(task))
        layout = read.layout.name
        if touched and (reason := get_dialect(layout).read_only):
            raise MergeError(f'the base {record["source"]} is in the {layout} layout, which is only read: {reason}')
        yield _Part(part, record, layout, touched)


def _write(folder: Path, task: AdaptedModel, settings: dict[str, Any], parts: list[_Part]) -> None:
    left_out = ('adapter.', *TRAINING_ONLY)
    state = {name: value for name, value in task.state_dict().items() if not name.startswith(left_out)}
    model = settings['model']
    model['adapter'] = None
    files = [_write_part(folder, task, state, part) for part in parts if part.changed]
    sources = {part.name: f'{INSIDE}{file}' for part, file in zip((part for part in parts if part.changed), files)}
    for part in parts:
        if part.changed:
            part.settings.update(source=sources[part.name])
            part.settings.pop('sha256', None)
    (folder / RECIPE).write_text(json.dumps(settings, indent=1) + '\n', encoding='utf-8')
    _write_list(folder)
    base = get_model(folder, 'base')
    rest = {name: state[name] for name in weight_names(base) if name in base.declared or name not in base.filled}
    if rest:
        meta = dict(base=base.base, method=base.method)
        (folder / TRAINED).write_bytes(safetensors_bytes(rest, meta))
        _write_list(folder)
    found = get_model(folder)
    again = found.state_dict()
    odd = [name for name in weight_names(found) if not torch.equal(again[name], state[name])]
    if odd:
        raise MergeError(f'the reloaded model differs: {", ".join(odd[:3])}; nothing was written')
    _apart(block_outputs(task), block_outputs(found), 'the reloaded model')


def _write_part(folder: Path, task: AdaptedModel, state: Mapping[str, Tensor], part: _Part) -> str:
    """Writes a part of the base in its layout, with its geometry if it is a model of transformers.

    Returns:
        Name of the file, below the folder.
    """
    own = {name: value for name, value in state.items() if not part.name or is_below(part.name, name)}
    try:
        content = to_layout(part.layout, own, task).content
    except CheckpointError as error:
        raise MergeError(str(error)) from error
    flat = part.layout == OURS or get_dialect(part.layout).flat
    name = f'{part.name or "base"}/model{SAFETENSORS_SUFFIX}' if flat else f'{part.name or "base"}.pth'
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    if flat:
        path.write_bytes(safetensors_bytes(content['state_dict'] if part.layout == OURS else content))
    else:
        torch.save(content, path)
    geometry = getattr(getattr(task, part.name, None), 'config', None) if part.name else None
    if flat and hasattr(geometry, 'to_json_string'):
        entries = json.loads(geometry.to_json_string(use_diff=False))
        entries.pop('_name_or_path', None)
        entries.update(architectures=[type(getattr(task, part.name)).__name__])
        (path.parent / 'config.json').write_text(json.dumps(entries, indent=1) + '\n', encoding='utf-8')
    return name


def _write_list(folder: Path) -> None:
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob('*')) if path.is_file()]
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names if name != LIST}
    content = dict(format=FORMAT, format_version=FORMAT_VERSION, files=files)
    (folder / LIST).write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')


class _Drawn(TorchFunctionMode):
    """Gives probes numbers in place of zeros, the same for the same shape."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if func is Tensor.new_zeros and found.is_floating_point():
            found.normal_(generator=torch.Generator().manual_seed(found.numel()))
        return found


@torch.no_grad()
def block_outputs(task: AdaptedModel) -> list[Tensor]:
    """What the blocks of all towers return, on drawn input: in the passes of the task's probe, and of towers that it
    does not reach when they run alone.
    """
    found: dict[str, list[Tensor]] = {name: [] for name in task.towers}

    def keep(name: str, output: Any) -> None:
        found[name].append((output[0] if isinstance(output, tuple) else output).detach().float().clone())

    handles = [
        block.register_forward_hook(lambda module, args, output, name=name: keep(name, output))
        for name, tower in task.towers.items()
        for block in tower.block_modules
    ]
    try:
        with _Drawn():
            # The default one runs the towers of a method, and there may be none any more.
            if type(task).probe is not AdaptedModel.probe:
                task.probe()
            states = None
            for name, tower in task.towers.items():
                states = states if found[name] else run_alone(tower, states)
    finally:
        for handle in handles:
            handle.remove()
    return [output for outputs in found.values() for output in outputs]


def _apart(expected: list[Tensor], found: list[Tensor], what: str) -> str:
    """Largest difference, of the largest output.

    Raises:
        MergeError: It is more than :data:`TOLERANCE`.
    """
    pairs = list(zip(expected, found))
    apart = max((float((one - other).abs().max()) for one, other in pairs), default=0.0)
    largest = max((float(one.abs().max()) for one in expected), default=0.0)
    if len(expected) != len(found) or not apart <= TOLERANCE * largest:
        raise MergeError(f'{what} computes something else: {apart:.3g} of {largest:.3g}; nothing was written')
    return f'{apart:.3g} of {largest:.3g}'
