"""Adapter folders: ``adapter_model.safetensors``, the trained tensors, and ``adapter_config.json``, what they are of.

The keys of a method hold no path of the model, so a folder survives that a library renames its modules. Both files are
data: a config names types of the registries and nothing else, and no type outside of them is looked up.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from vlpeft.atomic import write_atomically
from vlpeft.checkpoint import Checkpoint
from vlpeft.checkpoint.files import write_safetensors
from vlpeft.registry import ADAPTERS, MODELS, names_of
from vlpeft.sites import SiteError
from vlpeft.version import __version__

from .errors import AdapterFolderError
from .identity import fingerprint
from .peft_folder import CONFIG, WEIGHTS, is_peft_folder, read_peft_folder, write_peft_folder
from .sets import build_adapter

if TYPE_CHECKING:
    from .handle import AttachedAdapter

FORMAT, FORMAT_VERSION = 'vlpeft', 1
FORMATS = (FORMAT, 'peft')
#: What trained tensors may be stored as.
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def write_folder(handle: 'AttachedAdapter', folder: Path, name: str, format: str = FORMAT) -> None:
    """Writes a set and the trained parts of the model. Arguments and errors: :meth:`AttachedAdapter.save`."""
    if format not in FORMATS:
        raise AdapterFolderError(f'format={format!r}; choose from {FORMATS}')
    if folder.exists() and not folder.is_dir():
        raise AdapterFolderError(f'{folder} is a file; an adapter is saved to a folder')
    adapter = handle.sets[name]
    state = {f'adapter.{key}': value for key, value in adapter.state_dict().items()}
    state.update({f'parts.{key}': value for key, value in handle.parts.state_dict().items()})
    broken = [key for key, value in state.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if broken:
        raise AdapterFolderError(
            f'{folder}: {len(broken)} tensors of set {name!r} are not finite, such as {broken[0]}; nothing was written'
        )
    if format == 'peft':
        if handle.part_roles:
            raise AdapterFolderError(
                f'{folder}: a LoRA folder of HF PEFT has no place for the parts of the model that train too, such as '
                f'{next(iter(handle.part_roles))}'
            )
        write_peft_folder(folder, adapter, handle.towers, handle.model)
        return
    config = _plain(handle.configs[name], folder)
    record = dict(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        method=config,
        parts=dict(handle.part_roles),
        towers={tower: _geometry(handle, tower) for tower in handle.towers},
        base=dict(
            name=str(
                getattr(getattr(handle.model, 'config', None), '_name_or_path', '') or type(handle.model).__name__
            ),
            fingerprint=_fingerprint(handle),
        ),
        parameters=sum(value.numel() for value in state.values()),
        versions=dict(vlpeft=__version__, torch=torch.__version__),
    )
    write_safetensors(state, folder / WEIGHTS, record)
    text = json.dumps(record, indent=2) + '\n'
    write_atomically(folder / CONFIG, lambda part: Path(part).write_text(text))


def read_record(folder: Path) -> dict[str, Any]:
    """The config of an adapter folder of vlpeft.

    Raises:
        AdapterFolderError: There is none, or it is of another kind or of a newer version.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise AdapterFolderError(f'{folder} is no adapter folder: it has no {CONFIG}')
    try:
        record = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise AdapterFolderError(f'{path}: no JSON ({error})') from None
    if not isinstance(record, dict) or record.get('format') != FORMAT:
        raise AdapterFolderError(f'{path} is the config of no adapter that vlpeft or HF PEFT wrote')
    version = record.get('format_version')
    if isinstance(version, bool) or version != FORMAT_VERSION:
        raise AdapterFolderError(
            f'{path}: format_version {version!r}; this vlpeft {__version__} reads {FORMAT_VERSION}'
        )
    for key, kind in (('method', (dict, list)), ('parts', dict), ('towers', dict), ('base', dict)):
        if not isinstance(record.get(key), kind):
            raise AdapterFolderError(f'{path}: {key!r} is missing or no {"/".join(k.__name__ for k in _tuple(kind))}')
    _check_types(record['method'], path)
    _check_entries(record, path)
    return record


def _check_entries(record: Mapping[str, Any], path: Path) -> None:
    """What is said of towers, parts and base is said in the form in which :func:`write_folder` says it."""
    base, towers, parts = record['base'], record['towers'], record['parts']
    wrong = [
        f'tower {name!r} is {entry!r}, no class, depth and width'
        for name, entry in towers.items()
        if not isinstance(entry, dict) or not {'class', 'depth', 'width'} <= entry.keys()
    ]
    roles = {name: role for name, role in parts.items() if not _is_text(role)}
    wrong += [f'part {name!r} has role {role!r}, which is no text' for name, role in roles.items()]
    if not towers:
        wrong.append("'towers' names none")
    if not _is_text(base.get('name')) or not (base.get('fingerprint') is None or _is_text(base['fingerprint'])):
        wrong.append(f"'base' is {base!r}, no name and fingerprint")
    if wrong:
        raise AdapterFolderError(f'{path}: {wrong[0]}')


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def recorded_parts(folder: Path) -> dict[str, str]:
    """The parts of the model that an adapter folder holds beside the method, with their roles."""
    return {} if is_peft_folder(folder) else read_record(folder)['parts']


def read_folder(handle: 'AttachedAdapter', folder: Path, name: str) -> None:
    """Puts an adapter folder on a model as a set. Arguments and errors: :meth:`AttachedAdapter.load`."""
    if is_peft_folder(folder):
        config, state = read_peft_folder(folder, handle.towers, handle.paths, handle.model)
        adapter = build_adapter(config, handle.towers)
        adapter.load_state_dict(state, strict=True)
        handle.put(name, config, adapter)
        return
    record = read_record(folder)
    path = folder / WEIGHTS
    if not path.is_file():
        raise AdapterFolderError(f'{folder} has no {WEIGHTS}')
    checkpoint = Checkpoint.read(path)
    if checkpoint.meta != record:
        raise AdapterFolderError(f'{folder}: {CONFIG} and {WEIGHTS} are not of one save')
    _check_geometry(handle, record, folder)
    missing = [part for part in record['parts'] if part not in handle.part_roles]
    if missing:
        raise AdapterFolderError(
            f'{folder} holds {len(record["parts"])} trained tensors of the model itself, such as {missing[0]}, which '
            'do not train here; attach with trainable=…, or use vlpeft.load_adapter'
        )
    try:
        adapter = build_adapter(record['method'], handle.towers)
    except SiteError:
        raise
    except (TypeError, ValueError) as error:
        raise AdapterFolderError(f'{folder / CONFIG}: {error}') from error
    parts = {key: value for key, value in handle.parts.state_dict().items() if key in record['parts']}
    wanted = {f'adapter.{key}': value for key, value in adapter.state_dict().items()}
    wanted.update({f'parts.{key}': value for key, value in parts.items()})
    state = checkpoint.weights
    _check_state(state, wanted, path)
    adapter.load_state_dict(_below('adapter', state), strict=True)
    handle.put(name, record['method'], adapter)
    handle.parts.load_state_dict(_below('parts', state), strict=False)


def _below(part: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(f'{part}.'): value for key, value in state.items() if key.startswith(f'{part}.')}


def _check_state(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: Path) -> None:
    faults = [f'lacks {key}' for key in wanted if key not in state]
    faults += [f'has {key}, for which there is no place' for key in state if key not in wanted]
    faults += [
        f'{key} is {tuple(state[key].shape)} instead of {tuple(wanted[key].shape)}'
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    # Numbers of another kind would be converted without a word.
    other = [key for key in state if key in wanted and state[key].dtype not in (*FLOATS, wanted[key].dtype)]
    faults += [f'{key} is of {state[key].dtype}' for key in other]
    faults += [f'{key} is not finite' for key in state if key not in other and not torch.isfinite(state[key]).all()]
    if faults:
        more = f' and {len(faults) - 3} more' if len(faults) > 3 else ''
        raise AdapterFolderError(f'{path}: {"; ".join(faults[:3])}{more}')


def _geometry(handle: 'AttachedAdapter', name: str) -> dict[str, Any]:
    tower = handle.towers[name]
    return {
        'class': type(tower.module).__name__,
        'path': handle.paths[name],
        'depth': len(tower.block_modules),
        'width': tower.width,
    }


def _check_geometry(handle: 'AttachedAdapter', record: Mapping, folder: Path) -> None:
    """Names every difference: those of class and base are said, those of names, depth and width are errors."""
    faults, notes = [], []
    for name, theirs in record['towers'].items():
        if name not in handle.towers:
            faults.append(f'there is no tower {name!r} (there are {", ".join(handle.towers)})')
            continue
        ours = _geometry(handle, name)
        faults += [
            f'tower {name!r} has {key} {ours[key]} instead of {theirs.get(key)}'
            for key in ('depth', 'width')
            if ours[key] != theirs.get(key)
        ]
        if ours['class'] != theirs.get('class'):
            notes.append(f'tower {name!r} is a {ours["class"]}, it was trained on a {theirs.get("class")}')
    if faults:
        raise AdapterFolderError(f'{folder} was trained on another model: {"; ".join(faults)}')
    recorded, present = record['base'].get('fingerprint'), _fingerprint(handle)
    if recorded is not None and present is not None and recorded != present:
        notes.append(
            f'the weights of the model are not those that it was trained on (base {record["base"].get("name")!r}): its '
            'results will differ'
        )
    for note in notes:
        print_log(f'{folder}: {note}', 'current', level=30)


def _fingerprint(handle: 'AttachedAdapter') -> str | None:
    return fingerprint(handle.towers, {id(param) for param in handle.parts.parameters()})


def _tuple(kind: type | tuple) -> tuple:
    return kind if isinstance(kind, tuple) else (kind,)


def _plain(value: Any, folder: Path) -> Any:
    """A config as JSON holds it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item, folder) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_plain(item, folder) for item in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise AdapterFolderError(f'{folder}: the config holds {value!r}, which JSON cannot; name types as texts')


def _check_types(value: Any, path: Path, known: Collection[str] | None = None) -> None:
    """A registry that does not know a name would import what it says.

    Args:
        value: A method's config, or what stands in one.
        path: Of the file, for messages.
        known: Types that may stand there. Defaults to None: it is the method itself.
    """
    if isinstance(value, list):
        for item in value:
            _check_types(item, path, known)
    if isinstance(value, dict):
        kind = value.get('type')
        if known is None or 'type' in value:
            if not isinstance(kind, str) or kind not in (names_of(ADAPTERS) if known is None else known):
                raise AdapterFolderError(f'{path}: {kind!r} is no registered type')
        if known is None:
            known = {*names_of(MODELS), *ADAPTERS.get(kind).option_types}
        for item in value.values():
            _check_types(item, path, known)
