"""One rule for the names of configs: what ``get_model`` and every command that takes a config understand."""

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from .folder import PREFIX, ZooError, config_below, config_paths
from .model_index import read_zoo, zoo_root

SUFFIXES = ('.py', '.yaml', '.yml', '.json')


def find_config(name: str | Path) -> Path:
    """The config file behind a name.

    Args:
        name: The first that fits counts: path of a file, as seen from here; name of a model of the zoo
            (``'uniadapter_blip_msrvtt'``); path below the zoo's ``configs``, with or without ``vlpeft::`` or
            ``configs/`` before it and ``.py`` after it (``'uniadapter/blip_msrvtt'``).

    Raises:
        ZooError: There is none; the message lists similar names.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    text = str(name)
    zoo = read_zoo()
    if text in zoo:
        return zoo[text].config
    found = config_below(zoo_root(), text.removeprefix(PREFIX))
    if found is not None:
        return found
    if '/' in text or path.suffix in SUFFIXES:
        reason = f'{path} is a folder' if path.is_dir() else f'config file {text} does not exist'
        raise ZooError(f'{reason} (seen from {Path.cwd()}){_near(text, sorted(set(_paths(text))))}')
    near = _near(text, sorted({*zoo, *_beside(path)}))
    raise ZooError(f'there is no model {text!r}{near or f"; the zoo has {_some(list(zoo))}"}')


def _paths(text: str) -> Iterator[str]:
    """Paths that could have been meant, written as ``text`` is."""
    before = next((start for start in (PREFIX, 'configs/') if text.startswith(start)), '')
    after = '' if Path(text).suffix in SUFFIXES else '.py'
    for config in config_paths(zoo_root()):
        yield before + config.removesuffix(after)
    yield from _beside(Path(text))


def _beside(path: Path) -> Iterator[str]:
    if path.parent.is_dir():
        yield from (file.as_posix() for file in path.parent.iterdir() if file.suffix in SUFFIXES)


def _near(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=4, cutoff=0.6)
    return f'; did you mean {" or ".join(near)}?' if near else ''


def _some(names: list[str]) -> str:
    return ', '.join(sorted(names)) if len(names) <= 12 else f'{len(names)} models: vlpeft list'
