"""Getting a checkpoint file: local path or URL; downloads are cached, resumed, hash-checked, and safe side by side."""

import hashlib
import http.client
import os
import time
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import Request, url2pathname

from vlpeft.atomic import put_in_place
from vlpeft.bases import find_base, read_bases
from vlpeft.nearest import if_folder

from .errors import CheckpointError
from .hashing import file_sha256
from .manifest import manifest_of, recorded_sha256, write_manifest
from .reply import check_content, check_type, open_url
from .shards import is_index, shard_names

CACHE_VARIABLE = 'VLPEFT_CACHE'
_ATTEMPTS = 4
_PAUSE_S = 1.0
_TIMEOUT_S = 60
_CHUNK_BYTES = 1 << 20


def fetch(source: str | Path, sha256: str | None = None, cache_dir: str | Path | None = None) -> Path:
    """The local file behind a path, a URL or the name of a base, downloaded if need be.

    A download goes to ``<name>.part`` under a file lock, so any number of processes may ask at once and one transfers.
    A broken transfer resumes by HTTP Range, also in a later process; the finished file appears by an atomic rename.
    With an ``….index.json`` come the files that it lists, which are kept beside it. The hash of the first download is
    kept in a manifest beside the file: without ``sha256``, a file that is fetched again later must have that one.

    Args:
        source: A local path, ``file://``, ``http://`` or ``https://``, or a name of ``configs/base_checkpoints.yml``,
            which says the hash too.
        sha256: Expected hash of the file. Defaults to None: of a download, the hash that the first one had.
        cache_dir: Where downloads are kept. Defaults to None: ``$VLPEFT_CACHE``, else ``~/.cache/vlpeft``.

    Returns:
        The local file.

    Raises:
        FileNotFoundError: The local file does not exist, and no base has that name.
        CheckpointError: The download failed, is a web page or too short for any checkpoint, or its hash is another one;
            it is then deleted.
        ValueError: The URL's scheme is not supported.
    """
    if (base := find_base(source)) is not None:
        source, sha256 = base.url, sha256 or base.sha256
    sha256 = sha256 and sha256.lower()
    scheme = urlsplit(str(source)).scheme if '://' in str(source) else ''
    if scheme in ('http', 'https'):
        folder = _folder_of(str(source), cache_root(cache_dir))
        path = _fetch_url(str(source), sha256, folder)
        for name in shard_names(path) if is_index(path) else ():
            _fetch_url(urljoin(str(source), name), None, folder)
        return path
    if scheme not in ('', 'file'):
        raise ValueError(f'cannot fetch {source}: scheme {scheme!r} is not one of file, http, https')
    path = Path(url2pathname(urlsplit(str(source)).path) if scheme else source).expanduser()
    if not path.is_file():
        hint = if_folder(path) or _bases_like(str(source))
        raise FileNotFoundError(f'checkpoint file not found: {source}{hint}')
    if sha256 and file_sha256(path) != sha256:
        raise CheckpointError(_mismatch(str(source), sha256, file_sha256(path)))
    return path


def _bases_like(name: str) -> str:
    """Which bases there are, where a name of one was meant."""
    if Path(name).name != name or Path(name).suffix:
        return ''
    return f'; bases known by name are {", ".join(read_bases())}'


def cache_root(cache_dir: str | Path | None = None) -> Path:
    """The folder of downloads: ``cache_dir``, else ``$VLPEFT_CACHE``, else ``~/.cache/vlpeft``."""
    return Path(cache_dir or os.environ.get(CACHE_VARIABLE) or '~/.cache/vlpeft').expanduser()


def _mismatch(source: str, expected: str, found: str) -> str:
    return f'{source} is not the expected file:\n  expected sha256 {expected}\n  found    sha256 {found}'


def _folder_of(url: str, root: Path) -> Path:
    """The same file name from two URLs must not collide, so each URL has a folder."""
    return root / hashlib.sha256(url.encode()).hexdigest()[:16]


def cached_file(url: str) -> Path | None:
    """Where the cache holds a finished download; None if it does not."""
    path = _target_of(url, _folder_of(url, cache_root()))
    return path if path.is_file() else None


def _target_of(url: str, folder: Path) -> Path:
    return folder / (PurePosixPath(unquote(urlsplit(url).path)).name or 'download')


def _fetch_url(url: str, sha256: str | None, folder: Path) -> Path:
    from filelock import FileLock

    target = _target_of(url, folder)
    part = target.with_name(f'{target.name}.part')
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f'{target}.lock'):
        if target.is_file() and not manifest_of(target).is_file():
            write_manifest(target, target)
        wanted = sha256 or recorded_sha256(target)
        if target.is_file() and wanted == file_sha256(target):
            return target
        _download(url, part)
        found = file_sha256(part)
        if wanted not in (None, found):
            part.unlink()
            first = (
                ''
                if sha256
                else (
                    f'\nthat is the hash of the first download; if the file was replaced on '
                    f'purpose, remove {manifest_of(target)}'
                )
            )
            raise CheckpointError(f'{_mismatch(url, wanted, found)}\nthe download was deleted{first}')
        write_manifest(target, part)
        put_in_place(part, target)
    return target


def _download(url: str, part: Path) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _transfer(url, part)
        except HTTPError as error:
            # 416: the server has no byte after the partial file, so that file is not a beginning of this one.
            if error.code == 416:
                part.unlink(missing_ok=True)
            elif error.code < 500:
                raise CheckpointError(f'cannot download {url}: HTTP {error.code} {error.reason}') from error
            failure = error
        except (URLError, OSError, http.client.HTTPException) as error:
            failure = error
        if attempt < _ATTEMPTS:
            time.sleep(_PAUSE_S * attempt)
    kept = part.stat().st_size if part.exists() else 0
    raise CheckpointError(
        f'cannot download {url} after {_ATTEMPTS} attempts: {failure}\n'
        f'{kept} bytes are kept in {part}; the next call resumes there'
    ) from failure


def _transfer(url: str, part: Path) -> None:
    """One request: append to ``part`` what it lacks, or begin anew where the server cannot or will not resume."""
    validator_file = part.with_name(f'{part.name}.validator')
    headers = {'User-Agent': 'vlpeft', 'Accept-Encoding': 'identity'}
    if part.exists() and validator_file.exists():
        # If-Range makes a server whose file has changed send all of it, instead of the tail of another file.
        headers.update({'Range': f'bytes={part.stat().st_size}-', 'If-Range': validator_file.read_text()})
    with open_url(Request(url, headers=headers), timeout=_TIMEOUT_S) as reply:
        check_type(url, reply)
        start = part.stat().st_size if reply.status == 206 else 0
        validator = reply.headers.get('ETag') or reply.headers.get('Last-Modified')
        if validator and not validator.startswith('W/'):
            validator_file.write_text(validator)
        else:
            validator_file.unlink(missing_ok=True)
        length = reply.headers.get('Content-Length')
        total = start + int(length) if length else None
        with part.open('ab' if start else 'wb') as file:
            _copy(reply, file, start, total, part.stem)
    done = part.stat().st_size
    if total not in (None, done):
        raise ConnectionError(f'the connection closed after {done} of {total} bytes')
    validator_file.unlink(missing_ok=True)
    check_content(url, part)


def _copy(reply, file, start: int, total: int | None, name: str) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    with Progress(
        TextColumn('downloading {task.description}'),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as progress:
        task = progress.add_task(name, total=total, completed=start)
        while chunk := reply.read(_CHUNK_BYTES):
            file.write(chunk)
            progress.update(task, advance=len(chunk))
