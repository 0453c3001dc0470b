"""Names that a config sets and nothing reads: slips of the pen, and variables of a base that were used before.

A base is expanded when it is read, so a config that inherits it and sets ``num_frames`` changes nothing but a name: the
pipelines of the base hold the number that the base had.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config

from vlpeft.nearest import near, suggestion

from .overrides import LISTED, READ, SLIP, paths_ending_in

#: What MMEngine reads while it reads the file.
_FOR_READING = ('custom_imports',)


class ConfigSource(NamedTuple):
    """One file of a chain of configs: what it sets, by line, what it reads, and what it inherits."""

    path: Path
    sets: dict[str, int]
    reads: set[str]
    bases: list[Path]

    @property
    def is_printed(self) -> bool:
        """Whether it inherits nothing and reads no variable, as what ``vlpeft show`` prints and a run keeps."""
        return not self.bases and self.reads <= {'dict', *READ}


def idle_names(cfg: Config) -> Iterator[tuple[str, str]]:
    """Yields (name, what is wrong) of names that the config's own file sets and nothing reads.

    What the runner reads, what the file itself reads and what begins with an underscore is left in peace. YAML and
    JSON, which have no variables, are not looked at. A config that was printed whole still has the variables of those
    it was made from; of its names only slips of names that it lacks are told.
    """
    path = Path(cfg.filename) if cfg.filename else None
    if path is None or path.suffix != '.py' or not path.is_file():
        return
    own = read_source(path)
    below = {name for base in _all_bases(own) for name in base.sets}
    for name, line in own.sets.items():
        if name in (*READ, *_FOR_READING, *own.reads) or name.startswith('_'):
            continue
        if own.is_printed and near(name, set(READ) - own.sets.keys(), SLIP) is None:
            continue
        if name not in below:
            yield name, f'line {line} sets it, and nothing reads it{suggestion(name, READ, every=0)}'
            continue
        places = list(paths_ending_in(name, {key: cfg[key] for key in READ if key in cfg}))
        shown = f' ({", ".join(places[:LISTED])})' if places else ''
        yield (
            name,
            (
                f'line {line} sets a variable of a base, which was used when the base was read; set what was made of '
                f'it{shown}'
            ),
        )


def read_source(path: Path) -> ConfigSource:
    """What a config file sets at its top level, and reads anywhere."""
    tree = ast.parse(path.read_text(encoding='utf-8'))
    sets = {
        target.id: target.lineno
        for node in tree.body
        if isinstance(node, (ast.Assign, ast.AnnAssign))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    reads = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store)}
    named = next((node.value for node in tree.body if _sets(node, '_base_')), None)
    try:
        bases = ast.literal_eval(named) if named is not None else []
    except ValueError:
        bases = []
    bases = [bases] if isinstance(bases, str) else bases
    # MMEngine's path of a base is relative to the folder of the file that names it, or one of a package.
    found = [Path(Config._get_cfg_path(base, str(path))[0]) for base in bases]
    return ConfigSource(path, sets, reads, [base for base in found if base.suffix == '.py'])


def _sets(node: ast.stmt, name: str) -> bool:
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == name for target in node.targets
    )


def _all_bases(source: ConfigSource) -> Iterator[ConfigSource]:
    for path in source.bases:
        base = read_source(path)
        yield base
        yield from _all_bases(base)
