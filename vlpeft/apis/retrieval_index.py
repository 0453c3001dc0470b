"""An index of encoded files: kept by path, stored as one safetensors file with the identity of its model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vlpeft.checkpoint.files import read_checkpoint, write_safetensors

from .media_files import MediaFile

HASHED = ('config', 'checkpoint', 'base')


class EncodedFile(NamedTuple):
    """A file and what the model made of it, float32 on the CPU: ``feature`` (E,) of unit length, ``frames`` (T, E),
    and ``tokens`` (S, D) or None.
    """

    file: MediaFile
    feature: Tensor
    frames: Tensor
    tokens: Tensor | None


class IndexMismatchError(ValueError):
    """An index that another model made."""


class RetrievalIndex:
    """Encoded files by absolute path.

    Args:
        identity: ``config``, ``checkpoint`` and ``base``: each ``dict(name=…, sha256=…)``, or None where the model has
            none.
    """

    def __init__(self, identity: Mapping[str, dict[str, str] | None]) -> None:
        self.identity = dict(identity)
        self.entries: dict[str, EncodedFile] = {}

    def drop_changed(self, media: Mapping[str, MediaFile], folders: set[Path]) -> None:
        """Drops files that are not what they were: of those found now (``media``, by path) the ones with another time
        stamp or size, of those below ``folders`` the ones no longer found.
        """
        for path, entry in list(self.entries.items()):
            gone = path not in media and not folders.isdisjoint(Path(path).parents)
            if gone or (path in media and entry.file != media[path]):
                del self.entries[path]

    def lacks(self, path: str, with_tokens: bool) -> bool:
        """Whether a file must be encoded."""
        return path not in self.entries or (with_tokens and self.entries[path].tokens is None)

    def features(self) -> Tensor:
        """(n, E) in the order of ``entries``."""
        return torch.stack([entry.feature for entry in self.entries.values()])

    def save(self, path: str | Path) -> None:
        """Writes the index atomically.

        Args:
            path: Ends in ``.safetensors``.

        Raises:
            ValueError: Another suffix.
        """
        check_name(path)
        files, tensors = [], {}
        for number, entry in enumerate(self.entries.values()):
            files.append(entry.file._asdict())
            tensors.update({f'{number}.{key}': value for key, value in _tensors(entry).items()})
        write_safetensors(tensors, path, dict(identity=self.identity, files=files))

    def load(self, path: str | Path) -> None:
        """Adds what a file holds; entries already here stay.

        Raises:
            FileNotFoundError: There is no such file.
            CheckpointError: The file is damaged.
            IndexMismatchError: Another model made it; the message names what differs.
        """
        check_name(path)
        stored = read_checkpoint(path)
        if not {'identity', 'files'} <= stored.get('meta', {}).keys():
            raise IndexMismatchError(f'{path} is not a retrieval index')
        try:
            self._add(path, stored)
        except (AttributeError, KeyError, TypeError) as error:
            raise IndexMismatchError(
                f'{path} is a damaged retrieval index ({type(error).__name__}: {error})'
            ) from error

    def _add(self, path: str | Path, stored: Mapping[str, Any]) -> None:
        differing = _differences(stored['meta']['identity'], self.identity)
        if differing:
            raise IndexMismatchError(f'{path} was made by another model:\n' + '\n'.join(differing))
        state = stored['state_dict']
        entries = []
        for number, record in enumerate(stored['meta']['files']):
            file = MediaFile(**record)
            entry = EncodedFile(
                file, state[f'{number}.feature'], state[f'{number}.frames'], state.get(f'{number}.tokens')
            )
            entries.append(entry)
        for entry in entries:
            self.entries.setdefault(entry.file.path, entry)


def check_name(path: str | Path) -> None:
    """Raises ``ValueError`` unless a path can name an index."""
    if Path(path).suffix != '.safetensors':
        raise ValueError(f'{path}: an index must be named *.safetensors')


def _tensors(entry: EncodedFile) -> dict[str, Tensor]:
    tensors = dict(feature=entry.feature, frames=entry.frames, tokens=entry.tokens)
    return {key: value for key, value in tensors.items() if value is not None}


def _differences(stored: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    lines = []
    for part in HASHED:
        there, here = stored[part], own[part]
        if (there and there['sha256']) != (here and here['sha256']):
            lines.append(f'  {part}: index {_name(there)}, this model {_name(here)}')
    return lines


def _name(identity: Mapping[str, str] | None) -> str:
    return f'{identity["name"]} (sha256 {identity["sha256"][:8]}…)' if identity else 'none'
