"""From a folder of peft to a config of our LoRA and the tensors of its module."""

import json
import logging
import re
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from vlpeft.adaptation.errors import AdapterFolderError
from vlpeft.adaptation.sets import build_adapter
from vlpeft.checkpoint import Checkpoint
from vlpeft.sites import Tower, below, is_transposed

from .maps import Part, parts_by_map, site_list, targets_of
from .settings import CONFIG, PICKLE, WEIGHTS, LoraSettings

#: Of the text metadata of the weights' file: which columns belong to which rows of a fused projection.
BLOCKS = 'vlpeft_blocks'
#: The tensors of a map.
WANTED = dict(LoRA=('lora_A.weight', 'lora_B.weight'), DoRA=('lora_A.weight', 'lora_B.weight', 'lora_magnitude_vector'))
_KEY = re.compile(r'base_model\.model\.(?P<name>.+)\.(?P<tensor>lora_[AB]\.weight|lora_magnitude_vector)')


class _Tensors(NamedTuple):
    """Of one map: A (r, in), B (out, r), and of DoRA m (out,)."""

    down: Tensor
    up: Tensor
    magnitude: Tensor | None


class _Change(NamedTuple):
    """s B A at one site, s = α / r or α / √r."""

    part: Part
    alpha: float
    down: Tensor
    up: Tensor
    magnitude: Tensor | None

    @property
    def rank(self) -> int:
        return len(self.down)


def read_peft_folder(
    folder: Path, towers: Mapping[str, Tower], paths: Mapping[str, str], model: nn.Module
) -> tuple[dict | list[dict], dict[str, Tensor]]:
    """Reads a LoRA or a DoRA that Hugging Face PEFT has written.

    A change of a fused projection becomes one of each of its parts, which computes the same: every part has a copy of A
    and its own rows of B and m.

    Args:
        folder: With ``adapter_config.json`` and ``adapter_model.safetensors``; pickles are not read.
        towers: By name.
        paths: Where each of them is in the model, ``''`` for the model itself.
        model: The model.

    Returns:
        The config of our LoRA, or a list of them where ranks, α or sites need several; the state dict of its module.

    Raises:
        AdapterFolderError: A file is missing or damaged, or holds what our LoRA cannot represent; the message names the
            file, the setting or tensor, and the value.
    """
    settings = LoraSettings(folder / CONFIG)
    settings.check_base(model)
    matrices, blocks = _read_tensors(folder, settings.kind, site_list(towers, paths))
    matrices = _without_idle(folder / WEIGHTS, matrices, towers, paths, model)
    maps = parts_by_map(towers, paths)
    _check_maps(folder / WEIGHTS, settings, matrices, maps, site_list(towers, paths))
    settings.check_orientation({is_transposed(model.get_submodule(name)) for name in matrices})
    changes = {
        (name, change.part.site.span): change
        for name, tensors in matrices.items()
        for change in _split(settings, name, tensors, maps[name], blocks.get(name))
    }
    config = _config_of(list(changes.values()), towers, settings)
    return config, _state_of(config, towers, paths, changes)


def _read_tensors(folder: Path, kind: str, sites: str) -> tuple[dict[str, _Tensors], dict[str, Any]]:
    """The tensors by the name of the map, and the blocks that the file records."""
    file = folder / WEIGHTS
    if not file.is_file() and (folder / PICKLE).is_file():
        raise AdapterFolderError(
            f'{folder / PICKLE} is a pickle, which is not read; convert it with peft: '
            'PeftModel.from_pretrained(model, folder).save_pretrained(new_folder) writes safetensors'
        )
    if not file.is_file():
        raise AdapterFolderError(f'{folder}: there is no {WEIGHTS}')
    stored = Checkpoint.read(file)
    found: dict[str, dict[str, Tensor]] = {}
    for key, tensor in stored.weights.items():
        match = _KEY.fullmatch(key)
        if match is None or match['tensor'] not in WANTED[kind]:
            raise AdapterFolderError(f'{file}: {key} is no {kind} of a linear map; those with a site are: {sites}')
        if not torch.isfinite(tensor).all():
            raise AdapterFolderError(f'{file}: {key} is not finite')
        found.setdefault(match['name'], {})[match['tensor']] = tensor
    if not found:
        raise AdapterFolderError(f'{file}: it holds no tensors')
    for name, tensors in found.items():
        for lacking in [tensor for tensor in WANTED[kind] if tensor not in tensors]:
            raise AdapterFolderError(f'{file}: {name} lacks {lacking.removesuffix(".weight")}')
    try:
        blocks = dict(json.loads(stored.meta.get(BLOCKS, '{}')))
    except (TypeError, ValueError) as error:
        raise AdapterFolderError(f'{file}: its metadata {BLOCKS} cannot be read ({error})') from error
    return {name: _Tensors(*map(tensors.get, WANTED['DoRA'])) for name, tensors in found.items()}, blocks


def _without_idle(
    file: Path,
    matrices: Mapping[str, _Tensors],
    towers: Mapping[str, Tower],
    paths: Mapping[str, str],
    model: nn.Module,
) -> Mapping[str, _Tensors]:
    """The tensors without those of blocks whose output the model does not use, which peft adapts like all others."""
    idle: dict[str, str] = {}
    for tower in towers.values():
        for depth in range(len(tower.blocks), len(tower.block_modules)):
            root = below(paths[tower.name], f'{tower.block_path}.{depth}')
            inside = {below(root, path) for path, _ in model.get_submodule(root).named_modules()}
            idle.update({name: tower.idle for name in matrices if name in inside})
    if not idle:
        return matrices
    if len(idle) == len(matrices):
        raise AdapterFolderError(f'{file}: it changes nothing that the model uses: {next(iter(idle.values()))}')
    print_log(
        f'{file}: left out {", ".join(idle)}, which change no output: {next(iter(idle.values()))}',
        'current',
        level=logging.WARNING,
    )
    return {name: tensors for name, tensors in matrices.items() if name not in idle}


def _check_maps(
    file: Path,
    settings: LoraSettings,
    matrices: Mapping[str, _Tensors],
    maps: Mapping[str, list[Part]],
    sites: str,
) -> None:
    for name, (down, up, magnitude) in matrices.items():
        if name not in maps:
            raise AdapterFolderError(f'{file}: {name} is no site of this model; linear maps with a site are: {sites}')
        if not settings.selects(name):
            raise settings.refusal('target_modules', f'{WEIGHTS} holds {name}, which is not chosen; peft ignores it')
        rank, wide = settings.rank(name), maps[name][0].site.in_features
        out = sum(part.site.out_features for part in maps[name])
        if (down.shape, up.shape) != ((rank, wide), (out, rank)):
            raise AdapterFolderError(
                f'{file}: {name} has A {tuple(down.shape)} and B {tuple(up.shape)}; the rank of {CONFIG} and the '
                f'model need {(rank, wide)} and {(out, rank)}'
            )
        if magnitude is not None and magnitude.shape != (out,):
            raise AdapterFolderError(
                f'{file}: {name} has lora_magnitude_vector {tuple(magnitude.shape)} instead of {(out,)}'
            )
    missing = [name for name in maps if name not in matrices and settings.selects(name)]
    if missing:
        raise AdapterFolderError(
            f'{file}: no tensors for {len(missing)} maps that target_modules of {CONFIG} chooses: '
            + ', '.join(missing[:3])
            + (', …' if len(missing) > 3 else '')
        )


def _split(settings: LoraSettings, name: str, tensors: _Tensors, parts: list[Part], blocks: Any) -> list[_Change]:
    """The changes of the parts of one map."""
    alpha, power = settings.alpha(name), 0.5 if settings.scaling == 'rslora' else 1
    if len(parts) == 1 and parts[0].site.span is None:
        return [_Change(parts[0], alpha, *tensors)]
    down, up, magnitude = tensors

    def lengths(rows: tuple[int, int]) -> Tensor | None:
        return None if magnitude is None else magnitude[slice(*rows)]

    by_rows = {part.site.span: part for part in parts}
    if (columns := _columns(blocks, by_rows, up)) is not None:
        return [
            _Change(
                by_rows[rows],
                _plain(alpha * ((stop - start) / len(down)) ** power),
                down[start:stop],
                up[slice(*rows), start:stop],
                lengths(rows),
            )
            for rows, (start, stop) in columns.items()
        ]
    return [_Change(part, alpha, down, up[slice(*rows)], lengths(rows)) for rows, part in by_rows.items()]


def _columns(blocks: Any, by_rows: Container, up: Tensor) -> dict[tuple[int, int], tuple[int, int]] | None:
    """Rows of B (out, r) and the columns that only they use, as our own writer records them.

    None where nothing is recorded, or where it does not hold any more since the adapter was trained by peft.
    """
    try:
        columns, start, rest = {}, 0, up.clone()
        for first, last, rank in blocks:
            columns[first, last] = (start, start + rank)
            rest[first:last, start : start + rank] = 0
            start += rank
        known = all(rows in by_rows for rows in columns) and len(columns) == len(blocks)
    except (TypeError, ValueError):
        return None
    return columns if known and start == up.shape[1] and not rest.any() else None


def _plain(value: float) -> float:
    """An integer where one is meant: roots and quotients round."""
    return round(value) if abs(value - round(value)) < 1e-9 else value


def _config_of(changes: list[_Change], towers: Mapping[str, Tower], settings: LoraSettings) -> dict | list[dict]:
    """One LoRA for each rank, α and selection of sites; the only one stands alone."""
    groups: dict[tuple[int, float], list[Part]] = {}
    for change in changes:
        groups.setdefault((change.rank, change.alpha), []).append(change.part)
    options = dict(dropout=settings.dropout) if settings.dropout else {}
    options.update(dict(scaling=settings.scaling) if settings.scaling != 'standard' else {})
    configs = [
        dict(type=settings.kind, rank=rank, alpha=alpha, **options, targets=targets)
        for (rank, alpha), parts in groups.items()
        for targets in targets_of(parts, towers)
    ]
    return configs[0] if len(configs) == 1 else configs


def _state_of(
    config: dict | list[dict],
    towers: Mapping[str, Tower],
    paths: Mapping[str, str],
    changes: Mapping[tuple[str, tuple[int, int] | None], _Change],
) -> dict[str, Tensor]:
    """The tensors under the names that the module of this config gives them."""
    with torch.device('meta'):
        module = build_adapter(config, towers)
    names = {unit: name for name, unit in module.named_modules()}
    state = {}
    for binding in module.bindings(towers):
        change = changes[below(paths[binding.tower], binding.write.path), binding.write.span]
        state[f'{names[binding.unit]}.down.weight'] = change.down
        state[f'{names[binding.unit]}.up.weight'] = change.up
        if change.magnitude is not None:
            state[f'{names[binding.unit]}.magnitude'] = change.magnitude
    return state
