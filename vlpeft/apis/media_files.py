"""Videos and images on disk: which there are, and which have changed since."""

import glob
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

VIDEOS = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.ogv', '.ts', '.webm', '.wmv')
IMAGES = ('.bmp', '.gif', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')
SOUNDS = ('.aac', '.flac', '.m4a', '.mka', '.mp3', '.oga', '.ogg', '.opus', '.wav')
MEDIA = {**dict.fromkeys(VIDEOS, 'video'), **dict.fromkeys(IMAGES, 'image')}

#: Kinds of files as messages name them.
KINDS = dict(image='images', video='videos', audio='sounds')

PathLike = str | Path


class MediaFile(NamedTuple):
    """A file: absolute ``path``, ``media`` ('video' or 'image'), and what tells a changed file (``mtime_ns``,
    ``size``).
    """

    path: str
    media: str
    mtime_ns: int
    size: int


def find_media(files: PathLike | Iterable[PathLike]) -> dict[str, MediaFile]:
    """Videos and images, told by their suffix.

    Args:
        files: A folder, searched with all folders below it; a file; or a list of files.

    Returns:
        By absolute path, in its order.

    Raises:
        FileNotFoundError: A path that does not exist.
        ValueError: A listed file with another suffix, or nothing found.
    """
    named = [files] if isinstance(files, (str, Path)) else files
    found = {}
    for path in map(Path, named):
        if not path.exists():
            raise FileNotFoundError(f'{path} does not exist (seen from {Path.cwd()})')
        members = (
            (item for item in path.rglob('*') if item.suffix.lower() in MEDIA and not item.is_dir())
            if path.is_dir()
            else [path]
        )
        for item in members:
            found[os.path.abspath(item)] = _describe(item)
    if not found:
        raise ValueError(f'{files}: no video or image in it; known suffixes: {", ".join(MEDIA)}')
    return dict(sorted(found.items()))


def media_of(path: PathLike) -> str | None:
    """'image', 'video' or 'audio' by the suffix; None if it is none of these."""
    suffix = Path(path).suffix.lower()
    return 'audio' if suffix in SOUNDS else MEDIA.get(suffix)


def expand(named: Iterable[PathLike], kinds: Collection[str]) -> list[str]:
    """Files that folders and patterns stand for.

    Args:
        named: Files, folders, of which all files of the ``kinds`` below them are meant, and patterns such as
            ``'*.jpg'`` where no file has that name.
        kinds: Of 'image', 'video' and 'audio'.

    Returns:
        Each once, in the order in which they are named, those of a folder or pattern in alphabetical order. Files that
        do not exist stay: who reads them says so.

    Raises:
        FileNotFoundError: A folder or pattern without such a file.
    """
    found: dict[str, None] = {}
    for path in map(Path, named):
        if path.is_dir():
            members = sorted(str(item) for item in path.rglob('*') if media_of(item) in kinds and not item.is_dir())
        elif glob.has_magic(str(path)) and not path.exists():
            members = sorted(item for item in glob.glob(str(path), recursive=True) if media_of(item) in kinds)
        else:
            members = [str(path)]
        if not members:
            what = ' and '.join(KINDS[kind] for kind in kinds)
            raise FileNotFoundError(f'{path}: there are no {what} in it')
        found.update(dict.fromkeys(members))
    return list(found)


def _describe(path: Path) -> MediaFile:
    if path.suffix.lower() not in MEDIA:
        raise ValueError(f'{path}: neither a video nor an image by its suffix; known: {", ".join(MEDIA)}')
    stat = path.stat()
    return MediaFile(os.path.abspath(path), MEDIA[path.suffix.lower()], stat.st_mtime_ns, stat.st_size)
