"""The zoo's table of contents: model-index.yml, the metafile.yml of each config folder, and the base checkpoints."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from vlpeft.bases import BASES, Weights, read_bases, read_weights, read_yaml

from .folder import INDEX, ZooError, zoo_root


@dataclass(frozen=True)
class ZooModel:
    """An entry of a metafile.

    Attributes:
        name: Unique in the zoo.
        config: Its config file.
        bases: The public base checkpoints that the config starts from.
        weights: The published trained parts.
        metadata: ``Parameters``, ``Trainable Parameters``, ``Task``, ``Training Data`` and, where it is not the
            collection, ``Method``.
        method: Of adaptation.
        results: ``Task``, ``Dataset``, ``Metrics``, ``Source`` (whose numbers: 'paper' or 'ours').
    """

    name: str
    config: Path
    bases: list[Weights] = field(default_factory=list)
    weights: Weights | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    results: list[Mapping[str, Any]] = field(default_factory=list)
    method: str = ''

    @property
    def task(self) -> str:
        """What it is trained for; '' where the metafile does not say."""
        return self.metadata.get('Task', '')

    @property
    def data(self) -> str:
        """The sets it is trained on; '' where the metafile does not say."""
        return self.metadata.get('Training Data', '')


def list_models(pattern: str | None = None) -> list[str]:
    """Names of the zoo's models, sorted.

    Args:
        pattern: Part of the name, with ``*`` and ``?`` as in a shell. Defaults to None, all models.

    Returns:
        Empty if none matches.
    """
    return sorted(name for name in read_zoo() if pattern is None or fnmatchcase(name, f'*{pattern}*'))


def read_zoo() -> dict[str, ZooModel]:
    """All models by name.

    Raises:
        ZooError: A metafile is faulty; the message names the file, the entry and the key.
    """
    root = zoo_root()
    bases = read_bases(root)
    models: dict[str, ZooModel] = {}
    for pattern in read_yaml(root / INDEX)['Import']:
        for metafile in sorted(root.glob(pattern)):
            for number, record in enumerate(read_yaml(metafile)['Models'], start=1):
                model = _read_model(record, f'{metafile}: model {number}', root, bases)
                if model.name in models:
                    raise ZooError(f'{metafile}: model {number}: the zoo has another {model.name!r}')
                models[model.name] = model
    return models


def _read_model(record: Mapping[str, Any], where: str, root: Path, bases: Mapping[str, Weights]) -> ZooModel:
    for key in ('Name', 'Config', 'Metadata'):
        if key not in record:
            raise ZooError(f'{where}: no {key!r}')
    where = f'{where} ({record["Name"]})'
    names = record.get('Base', [])
    names = [names] if isinstance(names, str) else names
    if unknown := [name for name in names if name not in bases]:
        raise ZooError(f'{where}: unknown Base {unknown[0]!r}; {BASES} has {", ".join(bases)}')
    config = root / record['Config']
    # A config is a program: the zoo runs its own alone.
    if not Path(os.path.normpath(config)).is_relative_to(os.path.normpath(root)):
        raise ZooError(f'{where}: Config {record["Config"]!r} lies outside the zoo, {root}')
    if not config.is_file():
        raise ZooError(f'{where}: there is no config {config}')
    return ZooModel(
        name=record['Name'],
        config=config,
        bases=[bases[name] for name in names],
        weights=read_weights(record, root) if 'Weights' in record else None,
        metadata=record['Metadata'],
        results=record.get('Results', []),
        method=record['Metadata'].get('Method', record.get('In Collection', '')),
    )
