"""A folder of a published model, as ``vlpeft publish --hub-folder`` writes it and the Hugging Face hub keeps it.

    README.md               the model card, which may be edited
    vlpeft_model.json       the other files and their sha256
    vlpeft_recipe.json      the config
    vlpeft_trained.safetensors
                            what was trained, beside the base; may be missing where the base is merged
    tokenizer/              where the vocabulary has no name of its own

All of it is data: nothing that it says is run. A file that has changed is refused.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from vlpeft.checkpoint.errors import CheckpointError
from vlpeft.checkpoint.hashing import file_sha256
from vlpeft.engine.config_file import read_config
from vlpeft.version import __version__

LIST, RECIPE, TRAINED = 'vlpeft_model.json', 'vlpeft_recipe.json', 'vlpeft_trained.safetensors'
CARD, TOKENIZER = 'README.md', 'tokenizer'
#: Begins a value of the recipe that is a file or folder in the folder.
INSIDE = 'folder::'
#: Stands for a folder or file of a machine in a recipe.
LEFT_OUT = '(not published)'
FORMAT, FORMAT_VERSION = 'vlpeft model', 1


def is_hub_folder(name: str | Path) -> bool:
    """Whether a name is that of such a folder."""
    return (Path(name).expanduser() / LIST).is_file()


def trained_file(name: str | Path) -> Path | None:
    """The weights in a folder; None if all that was trained is in its base."""
    path = Path(name).expanduser() / TRAINED
    return path if TRAINED in _listed(path.with_name(LIST)) else None


def read_hub_folder(name: str | Path) -> Config:
    """Checks a folder and reads its config, in which files of the folder have their paths.

    Raises:
        CheckpointError: A file has changed, is missing or is not listed; or the list is none, or of a newer version.
        ConfigFileError: The config asks for what only a program may do.
    """
    folder = Path(name).expanduser()
    files = _listed(folder / LIST)
    _check(folder, files)
    cfg = read_config(folder / RECIPE)
    if not isinstance(cfg.get('model'), dict):
        raise CheckpointError(f"{folder / RECIPE} is damaged: it has no settings of a 'model'")
    cfg.model = _placed(cfg.model.to_dict(), folder, files)
    return cfg


def check_base_is_there(cfg: Config, folder: Path) -> None:
    """Says which base a folder needs, where that has neither a name nor an address.

    Args:
        cfg: Of the folder, with what its user has changed.
        folder: It, for the message.

    Raises:
        FileNotFoundError: The base is a file that is not here.
    """
    base = cfg.model.get('base_checkpoint') or {}
    for part, record in {'': base}.items() if 'source' in base else base.items():
        source = str(record['source'])
        is_file = '://' not in source and Path(source).suffix and not Path(source).expanduser().exists()
        if is_file or source == LEFT_OUT:
            given = f'dict({part}=dict(source=…))' if part else 'dict(source=…)'
            raise FileNotFoundError(
                f'{folder} holds trained parts only; its base {source} is not here. {CARD} has its hash; say where it '
                f'is: base_checkpoint={given}'
            )


def _listed(path: Path) -> dict[str, str]:
    """Files and their hashes, from the list."""
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f'{path} is damaged: no JSON ({error})') from None
    if not isinstance(content, dict) or content.get('format') != FORMAT:
        raise CheckpointError(f'{path} is damaged: it is not the list of a model that vlpeft published')
    version = content.get('format_version')
    if isinstance(version, bool) or version != FORMAT_VERSION:
        raise CheckpointError(f'{path}: format_version {version!r}; this vlpeft {__version__} reads {FORMAT_VERSION}')
    files = content.get('files')
    if set(content) != {'format', 'format_version', 'files'} or not isinstance(files, dict):
        raise CheckpointError(f"{path} is damaged: its entries are 'format', 'format_version' and 'files'")
    for file, digest in files.items():
        if not isinstance(digest, str) or Path(file).is_absolute() or '..' in Path(file).parts:
            raise CheckpointError(f'{path} is damaged: {file!r} is no file of the folder with a sha256')
    return files


def _check(folder: Path, files: Mapping[str, str]) -> None:
    if RECIPE not in files:
        raise CheckpointError(f'{folder / LIST} does not list {RECIPE}')
    for name, digest in files.items():
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f'{folder} lacks {name}, which {LIST} lists')
        if file_sha256(path) != digest:
            raise CheckpointError(
                f'{path} has changed since it was published: its sha256 is {file_sha256(path)}, {LIST} says {digest}'
            )
    # What is read beside them: a tokenizer takes whatever files it finds.
    for path in (folder / TOKENIZER).rglob('*'):
        if path.is_file() and path.relative_to(folder).as_posix() not in files:
            raise CheckpointError(f'{path} is not among the files of the published model ({LIST})')


def _placed(value: Any, folder: Path, files: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _placed(item, folder, files) for key, item in value.items()}
    if isinstance(value, list):
        return [_placed(item, folder, files) for item in value]
    if isinstance(value, str) and value.startswith(INSIDE):
        inside = Path(value.removeprefix(INSIDE))
        if inside.is_absolute() or '..' in inside.parts:
            raise CheckpointError(f'{folder / RECIPE}: {value!r} leads out of the folder')
        if not any(Path(name) == inside or inside in Path(name).parents for name in files):
            raise CheckpointError(f'{folder / RECIPE}: {value!r} is none of the files that {LIST} lists')
        return str(folder / inside)
    return value
