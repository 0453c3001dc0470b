"""Tokenizers and geometries by folder or hub name, found at once or refused at once.

transformers tries a hub that cannot be reached again and again, minutes for each file, even if all files are cached.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlpeft.nearest import near

TIMEOUT_S = 10
TOKENIZER_FILES = ('tokenizer.json', 'vocab.txt', 'vocab.json', 'spiece.model', 'tokenizer.model')


def source_options(name: str, what: str, files: Sequence[str]) -> dict[str, Any]:
    """Keyword arguments of ``from_pretrained`` for a folder or hub name; the network is asked only for what no folder
    and no cache holds, and then once.

    Args:
        name: Folder, or name on the hub.
        what: For messages, such as ``'tokenizer'``.
        files: Names, one of which must be there.

    Returns:
        ``dict(local_files_only=True)`` for what is on this machine, else ``{}``.

    Raises:
        ValueError: There is no such folder, it has none of the files, or the hub does not have it or cannot be asked.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    path = Path(name).expanduser()
    if path.is_dir():
        if not any((path / file).is_file() for file in files):
            there = ', '.join(sorted(entry.name for entry in path.iterdir())[:8]) or 'nothing'
            raise ValueError(f'{what} {name!r}: the folder has none of {", ".join(files)}; it holds {there}')
        return dict(local_files_only=True)
    if _is_path(name):
        raise ValueError(f'{what} {name!r}: there is no such folder{nearest_beside(path)}')
    try:
        if any(isinstance(try_to_load_from_cache(name, file), str) for file in files):
            return dict(local_files_only=True)
        HfApi().model_info(name, timeout=TIMEOUT_S)
    except (HFValidationError, RepositoryNotFoundError) as error:
        raise ValueError(
            f'{what} {name!r} is neither a folder (seen from {Path.cwd()}) nor a model on the hub'
        ) from error
    except Exception as error:  # the many ways in which a network fails
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f'{what} {name!r} is neither a folder (seen from {Path.cwd()}) nor in the cache of the hub, '
            f'which cannot be asked now: {reason[:160]}'
        ) from error
    return {}


def _is_path(name: str) -> bool:
    """Whether a name can only mean a folder: a name on the hub is one or two words without a folder before them."""
    return name.startswith(('.', '/', '~')) or name.count('/') > 1 or '/' in name and Path(name).parent.is_dir()


def nearest_beside(path: Path) -> str:
    """What to say after "there is no …": the name beside the first part of ``path`` that is missing, if one is near."""
    above = next((folder for folder in path.parents if folder.is_dir()), None)
    if above is None:
        return ''
    missing = path.relative_to(above).parts[0]
    found = near(missing, sorted(entry.name for entry in above.iterdir()))
    return f'; did you mean {above / found}?' if found else f' ({above} has no {missing})'
