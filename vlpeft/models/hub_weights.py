"""Weights of models as hubs keep them: safetensors files by folder, hub name or URL. Pickles are not read."""

from pathlib import Path

from vlpeft.bases import find_base
from vlpeft.checkpoint.download import fetch
from vlpeft.checkpoint.errors import CheckpointError
from vlpeft.checkpoint.files import SAFETENSORS_SUFFIX, TORCH_SUFFIXES
from vlpeft.checkpoint.identity import file_identity
from vlpeft.checkpoint.manifest import check_manifest
from vlpeft.checkpoint.shards import check_shards, is_index, shard_names

from .hub import source_options

#: What a folder may call its weights, the first that is there counts.
NAMES = ('model.safetensors', 'model.safetensors.index.json')


def weights_at(source: str | Path, sha256: str | None = None) -> tuple[Path, dict[str, str]]:
    """The local weights behind a folder, file, hub name or URL, downloaded if need be.

    Args:
        source: A folder or hub name with ``model.safetensors`` or ``model.safetensors.index.json``, or such a file
            itself by path, URL or name of ``configs/base_checkpoints.yml``.
        sha256: Expected hash of the file; of several the hash of their hashes, in order of their names. Defaults to
            None, unchecked.

    Returns:
        The safetensors file or the index, and its name and hash as checkpoints record them.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Neither folder nor hub has that name.
        CheckpointError: The weights are pickles or damaged, files of an index are missing or lack tensors
            that it lists, or the hash is another.
    """
    path = _found(str(source))
    files = [path, *(path.with_name(name) for name in (shard_names(path) if is_index(path) else ()))]
    for file in files:
        if not file.is_file():
            raise CheckpointError(f'{path} lists {file.name}, which is not beside it')
        if file is not path and file.suffix != SAFETENSORS_SUFFIX:
            raise CheckpointError(f'{path} lists {file.name}; {_ONLY}')
        check_manifest(file)
    if is_index(path):
        check_shards(path)
    identity = dict(file_identity(path), name=_name_of(str(source), path))
    if sha256 is not None and identity['sha256'] != sha256.lower():
        raise CheckpointError(
            f'{source} is not the expected file:\n  expected sha256 {sha256}\n  found    sha256 {identity["sha256"]}'
        )
    return path, identity


def check_source(source: str) -> None:
    """Raises what :func:`weights_at` would, as far as it can be told without downloading or reading weights."""
    if _is_file(source):
        if '://' not in source and find_base(source) is None:
            _found(source)
    elif Path(source).expanduser().is_dir():
        _in_folder(Path(source).expanduser())
    else:
        source_options(source, 'base', NAMES)


_ONLY = (
    'weights of image-text-to-text models are read from safetensors files only, since pickles can run code; '
    'from_pretrained(…).save_pretrained(folder) of transformers writes them'
)


def _found(source: str) -> Path:
    folder = Path(source).expanduser()
    if folder.is_dir():
        return _in_folder(folder)
    if _is_file(source):
        if '://' in source and Path(source.split('?')[0]).suffix in TORCH_SUFFIXES:
            raise CheckpointError(f'{source}: {_ONLY}')
        path = fetch(source)
        if path.suffix != SAFETENSORS_SUFFIX and not is_index(path):
            raise CheckpointError(f'{source}: {_ONLY}')
        return path
    return _from_hub(source)


def _is_file(source: str) -> bool:
    """Whether a source means a file, which may not be there, rather than a folder or a name on the hub."""
    path = Path(source).expanduser()
    suffixes = (SAFETENSORS_SUFFIX, *TORCH_SUFFIXES)
    is_named = path.suffix in suffixes or is_index(source) or find_base(source) is not None
    return '://' in source or path.is_file() or (is_named and not path.is_dir())


def _in_folder(folder: Path) -> Path:
    for name in NAMES:
        if (folder / name).is_file():
            return folder / name
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in TORCH_SUFFIXES)
    if pickles:
        raise CheckpointError(f'{folder} holds {pickles[0]} and no {NAMES[0]}; {_ONLY}')
    there = ', '.join(sorted(path.name for path in folder.iterdir())[:8]) or 'nothing'
    raise CheckpointError(f'{folder} has none of {", ".join(NAMES)}; it holds {there}')


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    options = source_options(name, 'base', NAMES)
    try:
        folder = snapshot_download(name, allow_patterns=['*.json', '*.safetensors'], **options)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(f'cannot download {name}: {str(error).splitlines()[0]}') from error
    return _in_folder(Path(folder))


def _name_of(source: str, path: Path) -> str:
    """What a checkpoint calls the base: the hub's name, the folder's, or the file's."""
    if '://' in source or Path(source).expanduser().is_file() or find_base(source) is not None:
        return path.name
    return Path(source).expanduser().resolve().name if Path(source).expanduser().is_dir() else source
