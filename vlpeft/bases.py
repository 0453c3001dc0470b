"""Base checkpoints by name: ``configs/base_checkpoints.yml`` says where each lies and what its hash is."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlpeft.engine.config_file import ConfigFileError, read_plain
from vlpeft.zoo.folder import ZooError, zoo_root

BASES = 'configs/base_checkpoints.yml'


@dataclass(frozen=True)
class Weights:
    """A published file.

    Attributes:
        url: URL, or path of a file that vlpeft brings.
        sha256: Its hash; None where it is not known.
        size: Its bytes; None where they are not known.
        licence: Its licence, by the hub's identifier; None where nobody has looked it up.
    """

    url: str
    sha256: str | None = None
    size: int | None = None
    licence: str | None = None


def read_yaml(path: Path) -> Any:
    """Content of a file of the zoo.

    Raises:
        ZooError: It is damaged; the message names the line.
    """
    try:
        return read_plain(path)
    except ConfigFileError as error:
        raise ZooError(str(error)) from error


def read_weights(record: Mapping[str, Any], root: Path) -> Weights:
    """``Weights`` (URL, or path below the zoo's folder ``root``), ``SHA256``, ``Size`` and ``License`` of an entry."""
    url = record['Weights']
    url = url if '://' in url else str(root / url)
    return Weights(url, record.get('SHA256'), record.get('Size'), record.get('License'))


def read_bases(root: Path | None = None) -> dict[str, Weights]:
    """The base checkpoints by name.

    Args:
        root: Folder of the zoo. Defaults to None: the folder of vlpeft itself.
    """
    root = root or zoo_root()
    return {name: read_weights(record, root) for name, record in read_yaml(root / BASES).items()}


def find_base(source: str | Path) -> Weights | None:
    """The base of this name, from any current folder; None for paths and URLs.

    A file of that name in the current folder comes first.
    """
    name = str(source)
    if Path(name).name != name or Path(name).suffix or Path(name).is_file():
        return None
    return read_bases().get(name)


def base_folder(name: str) -> Path | None:
    """The folder of a base that vlpeft brings, where its vocabulary lies too; None for all other names."""
    base = find_base(name)
    return None if base is None or '://' in base.url else Path(base.url).parent
