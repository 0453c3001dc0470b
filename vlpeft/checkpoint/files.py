"""Reading and writing checkpoint files: torch's (never executing what they hold), safetensors, numpy's (read only)."""

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vlpeft.nearest import if_folder

from .errors import CheckpointError
from .manifest import check_manifest, write_with_manifest
from .safe_globals import register_safe_globals
from .shards import is_index, shard_names

TORCH_SUFFIXES = ('.pth', '.pt', '.bin', '.pyth')
SAFETENSORS_SUFFIX = '.safetensors'
NUMPY_SUFFIX = '.npz'
# safetensors metadata holds strings only; ours is one JSON text under this name.
_META_KEY = 'vlpeft'
_HEAD_BYTES = 64
#: Bytes per byte of an archive. Deflate reaches 1,032 with zeros, weights 1.1, masks of zeros and ones a few dozen.
_LARGEST_RATIO = 200
_EXPECTED = {SAFETENSORS_SUFFIX: 'a safetensors file', NUMPY_SUFFIX: 'a .npz file of numbers'}


def read_checkpoint(path: str | Path, checked: bool = True) -> dict[str, Any]:
    """Read all that a checkpoint file holds onto the CPU: of a run to go on with, of a batch, of an index.

    Weights are read by :meth:`~vlpeft.checkpoint.checkpoint.Checkpoint.read`. Torch files are read with
    ``weights_only=True`` and memory-mapped where the format allows it.

    Args:
        path: A ``.pth``, ``.pt``, ``.bin``, ``.pyth``, ``.safetensors`` or ``.npz`` file, or an ``….index.json`` beside
            the files that it lists.
        checked: Compares the file with its manifest, if it has one, which takes reading it once more. Defaults to True.

    Returns:
        What a torch file holds; of a safetensors file ``state_dict`` and ``meta`` (dict); the arrays of a numpy
            file as tensors.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: The file is no checkpoint, is damaged, or holds objects that are not declared safe.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint file not found: {path}{if_folder(path)}')
    if checked:
        check_manifest(path)
    if is_index(path):
        shards = [read_checkpoint(path.with_name(name)) for name in shard_names(path)]
        return {key: value for shard in shards for key, value in shard.get('state_dict', shard).items()}
    if path.suffix == SAFETENSORS_SUFFIX:
        return _read_safetensors(path)
    if path.suffix == NUMPY_SUFFIX:
        return _read_arrays(path)
    if path.suffix not in TORCH_SUFFIXES:
        raise CheckpointError(
            f'{path}: unknown checkpoint suffix {path.suffix!r}; '
            f'expected one of {", ".join((*TORCH_SUFFIXES, SAFETENSORS_SUFFIX, NUMPY_SUFFIX))}'
        )
    _check_archive(path)
    # Another library may have forgotten them meanwhile, as transformers' Trainer does when it resumes.
    register_safe_globals()
    try:
        checkpoint = torch.load(path, map_location='cpu', weights_only=True, mmap=zipfile.is_zipfile(path) or None)
    except Exception as error:  # a damaged pickle raises nearly anything
        raise CheckpointError(_unreadable(path, error)) from error
    if not isinstance(checkpoint, dict):
        raise CheckpointError(f'{path}: expected a dict of tensors, found {type(checkpoint).__name__}')
    return checkpoint


def write_safetensors(state: dict[str, Tensor], path: str | Path, metadata: dict[str, Any] | None = None) -> None:
    """Write a flat state dict atomically, with a manifest.

    Tied tensors are written once per key, so any reader finds every key.

    Args:
        state: The tensors.
        path: Ends in ``.safetensors``.
        metadata: Anything JSON can hold. Defaults to None.
    """
    from safetensors.torch import save_file

    tensors, texts = _for_safetensors(state, metadata)
    write_with_manifest(path, lambda part: save_file(tensors, part, texts))


def safetensors_bytes(state: dict[str, Tensor], metadata: dict[str, Any] | None = None) -> bytes:
    """What :func:`write_safetensors` writes."""
    from safetensors.torch import save

    return save(*_for_safetensors(state, metadata))


def _for_safetensors(state: dict[str, Tensor], metadata: dict[str, Any] | None) -> tuple[dict, dict[str, str]]:
    storages, owned = set(), {}
    for key, tensor in state.items():
        tensor = tensor.detach().cpu().contiguous()
        # safetensors refuses two keys on one storage.
        if tensor.untyped_storage().data_ptr() in storages:
            tensor = tensor.clone()
        storages.add(tensor.untyped_storage().data_ptr())
        owned[key] = tensor
    return owned, {'format': 'pt', _META_KEY: json.dumps(metadata or {})}


def write_checkpoint(checkpoint: dict[str, Any], path: str | Path) -> None:
    """``torch.save`` with a manifest, by way of a temporary file and a rename: a reader never sees half a file.

    Args:
        checkpoint: What to save.
        path: Ends in ``.pth``, ``.pt`` or ``.bin``.
    """
    write_with_manifest(path, lambda part: torch.save(checkpoint, part))


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework='pt') as file:
            texts = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}
        meta = json.loads(texts[_META_KEY]) if _META_KEY in texts else dict(texts)
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise CheckpointError(_unreadable(path, error)) from error
    if not isinstance(meta, dict):
        raise CheckpointError(f'{path}: its metadata is {type(meta).__name__}, expected an object')
    return dict(state_dict=state, meta=meta)


def _read_arrays(path: Path) -> dict[str, Any]:
    _check_archive(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: torch.from_numpy(file[key]) for key in file.files}
    except Exception as error:  # of numpy's header, of zlib, of torch for arrays of texts, …
        raise CheckpointError(_unreadable(path, error)) from error


def _check_archive(path: Path) -> None:
    """Refuses a zip file, as torch and numpy write them, that unpacks to far more than it is.

    Weights hardly compress.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            claimed = sum(member.file_size for member in archive.infolist())
    except Exception:  # torch's former format, or damaged; the reader says what it is
        return
    size = path.stat().st_size
    if claimed > _LARGEST_RATIO * size:
        raise CheckpointError(
            f'{path}: {size:,} bytes that claim to unpack to {claimed:,}, more than {_LARGEST_RATIO} '
            'times as many, which no weights do'
        )


def _unreadable(path: Path, error: Exception) -> str:
    size = path.stat().st_size
    with path.open('rb') as file:
        head = file.read(_HEAD_BYTES)
    reason = _reason(error)
    if 'GLOBAL' in reason or reason.startswith('refused'):
        found = f'a pickle with objects that are not declared safe ({reason})'
    elif size == 0:
        found = 'an empty file'
    elif head.startswith(b'version https://git-lfs'):
        found = 'a Git LFS pointer (run `git lfs pull` where it came from)'
    elif head.lstrip().lower().startswith((b'<!doctype', b'<html')):
        found = 'an HTML page (the download gave a web page instead of the file)'
    else:
        found = f'{size} bytes beginning with {head[:16]!r} ({reason})'
    expected = _EXPECTED.get(path.suffix, 'a torch checkpoint of plain tensors')
    return f'{path}: expected {expected}, found {found}'


def _reason(error: Exception) -> str:
    # torch wraps the reason in advice on unsafe loading, which is never followed here.
    inner = error.__context__ if isinstance(error.__context__, pickle.UnpicklingError) else error
    return str(inner).split('. Please')[0].strip().split('\n')[0]
