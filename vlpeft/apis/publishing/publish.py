"""Publishing a checkpoint of a run, as a file for the zoo or as a folder for the hub, each with its card."""

import hashlib
from pathlib import Path
from typing import NamedTuple

from torch import nn

from vlpeft.apis.hub_folder import LIST
from vlpeft.atomic import check_free, write_atomically
from vlpeft.checkpoint import Checkpoint, CheckpointError
from vlpeft.checkpoint.files import SAFETENSORS_SUFFIX
from vlpeft.checkpoint.manifest import write_manifest
from vlpeft.zoo.model_index import read_zoo

from .card import model_card
from .facts import Facts, gather
from .folder import own_vocabulary, to_json, write_hub_folder
from .peft_layout import peft_files
from .private import check_public
from .result import Result
from .run import Run
from .weights import strip, to_bytes


class Told(NamedTuple):
    """What a publisher says: title of the card, result of a test, licence, words that no text may hold, whether numbers
    become half precision, and the name on the hub.
    """

    name: str | None
    result: Result | None
    licence: str | None
    words: set[str]
    half: bool = False
    repository: str | None = None

    def facts(self, run: Run, default: str) -> Facts:
        """What is known of a run, for a card with the title ``default`` if no other is given."""
        return gather(run, self.name or default, self.words, self.result, self.licence)


def publish(src: Path | Checkpoint, dst: Path, model: nn.Module, half: bool = False) -> Path:
    """Writes the published file; does nothing if it is there.

    Args:
        src: Checkpoint of a run.
        dst: The first 8 digits of the sha256 are put between its stem and suffix.
        model: What it must fit, on any device.
        half: Whether numbers become half precision. Defaults to False.

    Raises:
        CheckpointError: As :func:`~.weights.strip`, or a file of that name holds something else.
    """
    checkpoint = src if isinstance(src, Checkpoint) else Checkpoint.read(src)
    data = to_bytes(strip(checkpoint, model, half), dst.suffix)
    digest = hashlib.sha256(data).hexdigest()
    target = dst.with_name(f'{dst.stem}-{digest[:8]}{dst.suffix}')
    if not target.exists():
        write_atomically(target, lambda part: _write(data, part, target))
        print(f'wrote {target}')
    elif target.read_bytes() == data:
        print(f'{target} is there already')
    else:
        raise CheckpointError(f'{target} exists and holds something else; remove it first')
    print(
        f'for the metafile:\n    Weights: <URL of the folder>/{target.name}\n    SHA256: {digest}\n'
        f'    Size: {len(data)}'
    )
    return target


def _write(data: bytes, part: str, target: Path) -> None:
    """Writes the file, which is to take the place ``target``, and its manifest."""
    Path(part).write_bytes(data)
    write_manifest(target, part)


def publish_file(run: Run, dst: Path, told: Told, config: str | None) -> None:
    """The published file, and its card.

    Args:
        run: Of :func:`~.run.read_run`.
        dst: As :func:`publish`.
        told: What the publisher says.
        config: Config that was given, for the lines of the card. Defaults to None, the recorded one.
    """
    facts = told.facts(run, dst.stem)
    target = publish(run.checkpoint, dst, run.model, told.half)
    card = model_card(facts, target.name, _config_name(run, config))
    check_public(card, told.words, 'the card')
    path = target.with_suffix('.md')
    write_atomically(path, lambda part: Path(part).write_text(card, encoding='utf-8'))
    print(f'card: {path}')


def _config_name(run: Run, given: str | None) -> str:
    """What the lines of a card call the config: a name of the zoo, or of the file that the run was started with."""
    for name, model in read_zoo().items():
        if given is not None and model.config.samefile(given) or given is None and model.config.stem == run.name:
            return name
    return f'{run.name or "config"}.py'


def publish_folder(run: Run, folder: Path, told: Told, tokenizer: bool, overwrite: bool) -> None:
    """The folder of the hub.

    Args:
        run: Of :func:`~.run.read_run`.
        folder: Where it goes.
        told: What the publisher says.
        tokenizer: Whether a vocabulary that lies on this machine alone goes along.
        overwrite: Whether a folder of a published model may be replaced.
    """
    check_free(folder, (LIST,), overwrite)
    facts = told.facts(run, folder.name)
    content = strip(run.checkpoint, run.model, told.half)
    vocabulary = own_vocabulary(run.config.model) if tokenizer else None
    more = peft_files(run.model, content['state_dict'], next((file.hub for file in facts.base_files if file.hub), None))
    if told.result:
        more['result.json'] = to_json(dict(metrics=told.result.metrics, intervals=told.result.intervals))
    weights, settings = to_bytes(content, SAFETENSORS_SUFFIX), run.config.to_dict()
    write_hub_folder(folder, facts, weights, settings, told.words, vocabulary, told.repository, more, overwrite)
    print(f'wrote {folder}')
    if vocabulary:
        print(f'the tokenizer of {vocabulary} is in it: see to it that its licence allows that, or use --no-tokenizer')
