"""Which models a page shows: those of the command line, or the trained runs of the quickstart."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

#: Tabs in their order: runs of the quickstart, the first that is there is taken, and the command that trains them.
QUICKSTART = dict(
    search=(('uniadapter', 'lora'), 'bash tools/quickstart.sh'),
    ask=(('questions_epalm', 'questions_adapters'), 'bash tools/quickstart.sh questions'),
    caption=(('captions_vlpet',), 'bash tools/quickstart.sh captions'),
)
OWN = dict(
    search='vlpeft demo --search CONFIG CHECKPOINT FOLDER',
    ask='vlpeft demo --ask CONFIG CHECKPOINT',
    caption='vlpeft demo --caption CONFIG CHECKPOINT',
)
RUNS, CLIPS = Path('work_dirs/quickstart'), Path('data/quickstart/clips/videos')


class DemoError(Exception):
    """A page that cannot be served; the message says what to do."""


class Source(NamedTuple):
    """A model.

    Args:
        config: Config file or name, as the inferencers take it.
        checkpoint: Path or URL of what was trained; None for what the zoo publishes.
        folder: What a search looks through. Defaults to None, for the other tabs.
        tested_only: Whether of the folder only the files of the config's test set are searched, those that training has
            not seen. Defaults to False.
    """

    config: str
    checkpoint: str | None
    folder: str | None = None
    tested_only: bool = False


def choose_sources(
    search: tuple[str, str, str] | None, ask: tuple[str, str] | None, caption: tuple[str, str] | None
) -> tuple[dict[str, Source], dict[str, str]]:
    """The models of a page.

    Args:
        search, ask, caption: Config and checkpoint (``'zoo'`` for the published one) of a tab, and the folder to
            search. All None: the runs of the quickstart, seen from the current folder.

    Returns:
        Models by tab; for each tab without one, how to get it.

    Raises:
        DemoError: There is no model for any tab, a tab names the base alone, or there is no such folder.
    """
    given = {
        name: Source(values[0], None if values[1] == 'zoo' else values[1], *values[2:])
        for name, values in dict(search=search, ask=ask, caption=caption).items()
        if values
    }
    if not given:
        return quickstart_sources()
    for name, source in given.items():
        if source.checkpoint in ('none', 'base'):
            raise DemoError(f'--{name}: without a checkpoint there is nothing to compare; name what was trained')
    folder = given['search'].folder if 'search' in given else None
    if folder is not None and not Path(folder).is_dir():
        raise DemoError(f'--search: {folder} is no folder (seen from {Path.cwd()})')
    return given, _missing(given, OWN)


def quickstart_sources() -> tuple[dict[str, Source], dict[str, str]]:
    """The trained runs of the quickstart below the current folder. Returns and errors: :func:`choose_sources`."""
    found = {}
    for name, (runs, _) in QUICKSTART.items():
        checkpoints = {run: path for run in runs if (path := _last_checkpoint(RUNS / run)) is not None}
        if not checkpoints or (name == 'search' and not CLIPS.is_dir()):
            continue
        run, path = next(iter(checkpoints.items()))
        searched = (str(CLIPS), True) if name == 'search' else ()
        found[name] = Source(f'quickstart/{run}', str(path), *searched)
    if not found:
        raise DemoError(
            f'no trained run below {RUNS} (seen from {Path.cwd()}): {QUICKSTART["search"][1]} trains one, or name your '
            f'own model: {OWN["search"]}'
        )
    return found, _missing(found, {name: command for name, (_, command) in QUICKSTART.items()})


def _missing(found: Mapping[str, Source], commands: Mapping[str, str]) -> dict[str, str]:
    return {name: command for name, command in commands.items() if name not in found}


def _last_checkpoint(run: Path) -> Path | None:
    """The checkpoint that MMEngine's ``last_checkpoint`` names, if it is there."""
    note = run / 'last_checkpoint'
    path = run / Path(note.read_text().strip()).name if note.is_file() else None
    return path if path is not None and path.is_file() else None
