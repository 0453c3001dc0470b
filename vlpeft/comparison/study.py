"""What a study compares, read from a YAML file.

A method's learning rate is chosen among a few on the validation set with the first seed; the chosen run counts as that
seed's, and the other seeds are run with its rate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from vlpeft.nearest import suggestion

ENTRIES = ('title', 'question', 'metric', 'also', 'pairs', 'seeds', 'learning_rates', 'options', 'prepare', 'methods')
OF_METHOD = ('config', 'title', 'learning_rates', 'train', 'guess', 'options')
GUESSES = ('majority', 'question')


class StudyError(ValueError):
    """A study file that cannot be run; names the entry."""


@dataclass(frozen=True)
class Method:
    """One row of the table.

    Attributes:
        name: In file names.
        title: In tables.
        config: Config file.
        rates: Learning rates that are tried; none for what is not trained.
        options: Dotted keys of the config and their values.
        guess: Of :data:`GUESSES`, answers without looking (:mod:`.guesses`); None for a model's.
    """

    name: str
    title: str
    config: Path
    rates: tuple[float, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    guess: str | None = None

    @property
    def trains(self) -> bool:
        """Whether it is trained, or the base is evaluated as it is."""
        return bool(self.rates)


@dataclass(frozen=True)
class Study:
    """A study.

    Attributes:
        name: The file's stem.
        title, question: For readers; the question was asked before anything was run.
        metric: By which rates are chosen and methods are ordered; larger is better.
        also: Further figures of the table.
        pairs: Methods whose difference is told, the second less the first, sample by sample.
        seeds: Of the runs of each method.
        prepare: Runs that come first, whose last checkpoints the configs name.
        methods: By name, in the order of the file.
    """

    name: str
    title: str
    question: str
    metric: str
    also: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    seeds: tuple[int, ...]
    prepare: tuple[Method, ...]
    methods: Mapping[str, Method]


def read_study(path: str | Path) -> Study:
    """Reads a study file.

    Raises:
        FileNotFoundError: There is no such file.
        StudyError: An entry is unknown, missing or of another form.
    """
    path = Path(path)
    content = yaml.safe_load(path.read_text(encoding='utf-8'))
    if not isinstance(content, dict):
        raise StudyError(f'{path}: not a mapping of {", ".join(ENTRIES)}')
    _check_names(path, content, ENTRIES, ('title', 'metric', 'seeds', 'methods'))
    seeds = _list(path, content, 'seeds', int)
    if len(set(seeds)) < len(seeds):
        raise StudyError(f'{path}: seeds: {list(seeds)} holds one twice')
    rates = _list(path, content, 'learning_rates', float) if 'learning_rates' in content else ()
    options = content.get('options') or {}
    if not isinstance(content['methods'], dict) or not content['methods']:
        raise StudyError(f'{path}: methods: names and what each is, such as "lora: {{config: lora.py}}"')
    methods = {name: _method(path, name, entry, rates, options) for name, entry in content['methods'].items()}
    prepare = tuple(
        _method(path, f'prepare-{number}', dict(entry, learning_rates=None), (), {})
        for number, entry in enumerate(content.get('prepare') or ())
    )
    pairs = content.get('pairs') or []
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or pair[0] == pair[1]:
            raise StudyError(f'{path}: pairs: {pair!r} is no list of two methods')
        for name in pair:
            if name not in methods:
                raise StudyError(f'{path}: pairs: there is no method {name!r}{suggestion(str(name), methods)}')
    also = content.get('also') or []
    if not isinstance(also, list) or not all(isinstance(name, str) for name in also):
        raise StudyError(f'{path}: also: {also!r} is no list of figures')
    return Study(
        path.stem,
        str(content['title']),
        str(content.get('question', '')),
        str(content['metric']),
        tuple(also),
        tuple(map(tuple, pairs)),
        tuple(seeds),
        prepare,
        methods,
    )


def choose(study: Study, names: Sequence[str] | None) -> Study:
    """The study of some of its methods alone; None for all.

    Raises:
        StudyError: There is no such method.
    """
    if names is None:
        return study
    for name in names:
        if name not in study.methods:
            raise StudyError(f'there is no method {name!r} in {study.name}{suggestion(name, study.methods)}')
    return replace(study, methods={name: method for name, method in study.methods.items() if name in names})


def _method(path: Path, name: str, entry: Any, rates: Sequence[float], options: Mapping[str, Any]) -> Method:
    if not isinstance(entry, dict):
        raise StudyError(f'{path}: methods: {name}: {entry!r} is no mapping of {", ".join(OF_METHOD)}')
    _check_names(path, entry, OF_METHOD, ('config',), f'methods: {name}: ')
    config = path.parent / str(entry['config'])
    if not config.is_file():
        raise StudyError(f'{path}: methods: {name}: config: there is no {config}')
    if entry.get('learning_rates') is not None:
        rates = _list(path, entry, 'learning_rates', float, f'methods: {name}: ')
    if entry.get('guess') not in (None, *GUESSES):
        raise StudyError(f'{path}: methods: {name}: guess: {entry["guess"]!r} is none of {", ".join(GUESSES)}')
    if entry.get('guess') or not entry.get('train', True):
        rates = ()
    elif not rates and 'learning_rates' not in entry:
        raise StudyError(f'{path}: methods: {name}: neither it nor the study names learning_rates')
    return Method(
        name,
        str(entry.get('title', name)),
        config,
        tuple(rates),
        {**options, **(entry.get('options') or {})},
        entry.get('guess'),
    )


def _check_names(path: Path, content: Mapping, known: Sequence[str], needed: Sequence[str], where: str = '') -> None:
    for name in content:
        if name not in known:
            raise StudyError(f'{path}: {where}unknown entry {name!r}{suggestion(str(name), known)}')
    for name in needed:
        if content.get(name) in (None, ''):
            raise StudyError(f'{path}: {where}{name} is missing')


def _list(path: Path, content: Mapping, name: str, kind: type, where: str = '') -> tuple:
    values = content[name]
    try:
        if not isinstance(values, list) or not values or any(isinstance(value, bool) for value in values):
            raise ValueError
        found = tuple(kind(value) for value in values)
    except (TypeError, ValueError):
        raise StudyError(f'{path}: {where}{name}: {values!r} is no list of numbers') from None
    if kind is float and min(found) <= 0:
        raise StudyError(f'{path}: {where}{name}: {values!r} holds a rate that is not above 0')
    return found
