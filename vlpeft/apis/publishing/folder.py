"""Writing a folder that the Hugging Face hub keeps and vlpeft loads (:mod:`vlpeft.apis.hub_folder`)."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlpeft.apis.hub_folder import CARD, FORMAT, FORMAT_VERSION, INSIDE, LIST, RECIPE, TOKENIZER, TRAINED
from vlpeft.apis.processor_files import PATTERNS
from vlpeft.atomic import write_folder_atomically

from .card import model_card
from .errors import PublishError
from .facts import Facts
from .private import check_public, cleaned

#: Settings of a config that make the recipe: what a run is, not where it ran and what it logged to whom.
RECIPE_KEYS = (
    'default_scope',
    'model',
    *(f'{split}_{part}' for split in ('train', 'val', 'test') for part in ('dataloader', 'cfg', 'evaluator')),
    'optim_wrapper',
    'param_scheduler',
    'auto_scale_lr',
    'custom_hooks',
    'randomness',
)
#: Bytes of all files of a tokenizer that is copied.
LARGEST_TOKENIZER = 32 << 20
#: Of whose files only settings are looked through: words of a vocabulary are no folders.
SETTINGS = '*config.json'


def recipe(settings: Mapping[str, Any], words: set[str], tokenizer: bool) -> dict[str, Any]:
    """The config of a run as it is published.

    Args:
        settings: Of the whole config.
        words: Names that no text may hold.
        tokenizer: Whether the vocabulary lies in the folder.
    """
    found = cleaned({key: settings[key] for key in RECIPE_KEYS if settings.get(key) is not None}, words)
    if tokenizer:
        found['model']['vocabulary'] = f'{INSIDE}{TOKENIZER}'
    return found


def own_vocabulary(settings: Mapping[str, Any]) -> Path | None:
    """The folder of a vocabulary that lies on this machine alone; None for names of the hub and of vlpeft.

    Raises:
        PublishError: Its files are large.
    """
    from vlpeft.bases import base_folder

    name = settings.get('vocabulary')
    if not isinstance(name, str) or base_folder(name) is not None or not Path(name).expanduser().is_dir():
        return None
    folder = Path(name).expanduser()
    size = sum(path.stat().st_size for path in tokenizer_files(folder))
    if size > LARGEST_TOKENIZER:
        raise PublishError(
            f'the files of the tokenizer in {folder} have {size:,} bytes, more than {LARGEST_TOKENIZER:,}; leave them '
            'out with --no-tokenizer'
        )
    return folder


def tokenizer_files(folder: Path) -> list[Path]:
    """What of a folder is a tokenizer's."""
    return sorted({path for pattern in PATTERNS for path in folder.glob(pattern) if path.is_file()})


def write_hub_folder(
    target: str | Path,
    facts: Facts,
    weights: bytes,
    settings: Mapping[str, Any],
    words: set[str],
    vocabulary: Path | None = None,
    repository: str | None = None,
    more: Mapping[str, bytes] | None = None,
    overwrite: bool = False,
) -> Path:
    """Writes the folder whole or not at all.

    Args:
        target: Folder.
        facts: For the card.
        weights: Bytes of the safetensors file.
        settings: Of the whole config.
        words: Names that no text may hold.
        vocabulary: Folder of a tokenizer that goes along. Defaults to None.
        repository: ``owner/name`` on the hub, for the card. Defaults to None.
        more: Further files by name, such as those of peft. Defaults to None.
        overwrite: Whether a folder of a published model may be replaced. Defaults to False.

    Returns:
        ``target``.

    Raises:
        PublishError: A text tells of a machine or a person.
        OccupiedError: The folder holds something.
    """
    target = Path(target)
    texts = recipe(settings, words, vocabulary is not None)
    card = model_card(facts, repository or target.name)
    check_public(texts, words, RECIPE)
    check_public(card.replace(repository or target.name, ''), words, CARD)
    files: dict[str, bytes] = {RECIPE: to_json(texts), TRAINED: weights}
    for name, data in (more or {}).items():
        if name.endswith('.json'):
            check_public(json.loads(data), words, name)
        files[name] = data
    for path in tokenizer_files(vocabulary) if vocabulary else ():
        if path.match(SETTINGS):
            check_public(json.loads(path.read_text(encoding='utf-8')), words, str(path))
        files[f'{TOKENIZER}/{path.name}'] = path.read_bytes()
    listed = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    files[LIST] = to_json(dict(format=FORMAT, format_version=FORMAT_VERSION, files=listed))
    files[CARD] = card.encode()

    def write(part: Path) -> None:
        for name, data in files.items():
            path = part / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)

    write_folder_atomically(target, write, (LIST,), overwrite)
    return target


def to_json(content: Any) -> bytes:
    """Bytes of a file of JSON."""
    return (json.dumps(content, indent=1, ensure_ascii=False) + '\n').encode()
