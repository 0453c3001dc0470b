"""What is known of a trained model, for its card: from the checkpoint, the config of its run, and a result."""

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vlpeft.apis.hub_folder import LEFT_OUT
from vlpeft.bases import find_base, read_bases
from vlpeft.models.parameters import count_parameters
from vlpeft.registry import ADAPTERS, DATASETS

from .errors import PublishError
from .loading import reading_of
from .private import cleaned, public_text
from .result import Result
from .run import Run

#: First reference of the text at the head of a method's module.
PAPER = re.compile(r'((?:[A-Z][\w-]+,? )+(?:et al\., )?(?:and [A-Z][\w-]+, )?"[^"]+", (?:[A-Z][\w&]* )?\d{4})')
HUB_URL = re.compile(r'https://huggingface\.co/([\w.-]+/[\w.-]+)/resolve/')
#: Names of sets on the hub of those that have one of their own.
HUB_SETS = dict(
    AudioCaps='audiocaps',
    COCOCaption='coco',
    DiDeMoRetrieval='didemo',
    GQA='gqa',
    MSRVTTRetrieval='msrvtt',
    MSVDRetrieval='msvd',
    NLVR2='nlvr2',
    VQAv2='vqav2',
)
SPLITS = ('train', 'val', 'test')


@dataclass(frozen=True)
class Method:
    """A method that was trained: its class, its options as the run had them, and where it is from."""

    name: str
    options: Mapping[str, Any]
    paper: str | None = None


@dataclass(frozen=True)
class BaseFile:
    """A file of the base: the part of the model that it fills ('' for all of it), what the config calls it, and what
    ``configs/base_checkpoints.yml`` knows of it.
    """

    part: str
    source: str
    hub: str | None = None
    sha256: str | None = None
    licence: str | None = None


@dataclass(frozen=True)
class DataSet:
    """A set: what it was used for, its type, and of the run its size, and the name and hash of its file."""

    split: str
    type: str
    what: str
    samples: int | None = None
    file: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Facts:
    """All that a card tells.

    Attributes:
        kind: Type of the task model.
        tasks: Names of its tasks; empty where it has one alone.
        captions: Whether it describes, rather than answers.
        methods: What was trained; empty for parts of the model alone.
        beside: What trains beside the method, as the config says it.
        trained, total: Parameters.
        base: Name and hash that the checkpoint records; None without a base.
        base_files: Of which it consists.
        sets: Data.
        training: Lines of (what, value).
        versions, code: Of the run; None where it does not record them.
        result: Of a test.
        licence: Identifier of the hub; None if the publisher states none.
        recorded: Whether the config is that of the run, rather than what the publisher gave.
        hub_sets: Names on the hub of the sets it was trained on.
        reads: The inferencer that reads files for it, and the kind of file; None where there is none.
    """

    name: str
    kind: str
    tasks: tuple[str, ...]
    captions: bool
    methods: tuple[Method, ...]
    beside: str
    trained: int
    total: int
    base: Mapping[str, str] | None
    base_files: tuple[BaseFile, ...]
    sets: tuple[DataSet, ...]
    training: tuple[tuple[str, str], ...]
    versions: Mapping[str, str] | None
    code: Mapping[str, Any] | None
    result: Result | None = None
    licence: str | None = None
    recorded: bool = True
    hub_sets: tuple[str, ...] = ()
    reads: tuple[str, str] | None = None


def gather(run: Run, name: str, words: set[str], result: Result | None = None, licence: str | None = None) -> Facts:
    """What is known of a run.

    Args:
        run: It.
        name: Of the card.
        words: Names that no text may hold (:func:`~.private.secret_words`).
        result: Of a test of it. Defaults to None.
        licence: Of the trained parts. Defaults to None, not stated.

    Raises:
        PublishError: The base that the config names is another file than the run had, or the result is of another
            config.
    """
    config, model = cleaned(run.config.to_dict(), words), run.model
    counts = count_parameters(model)
    settings, tasks = config['model'], getattr(model, 'tasks', {})
    if result is not None and run.is_recorded and result.config and run.name and result.config != run.name:
        raise PublishError(f'the result is of the config {result.config}, and the run of {run.name}')
    return Facts(
        name=name,
        kind=type(model).__name__,
        tasks=tuple(tasks),
        captions=bool(tasks) and all(getattr(task, 'output', '') == 'pred_caption' for task in tasks.values()),
        methods=tuple(_methods(settings.get('adapter'))),
        beside=_one_line(settings.get('trainable', 'heads')),
        trained=counts['trainable'],
        total=counts['total'],
        base=cleaned(run.meta.get('base'), words),
        base_files=tuple(_base_files(run, words)),
        sets=tuple(_sets(config, cleaned(run.record.get('data') or {}, words))),
        training=tuple(_training(run, config)) if run.is_recorded else (),
        versions=cleaned(run.record.get('versions'), words),
        code=cleaned(run.record.get('code'), words),
        result=result,
        licence=licence,
        recorded=run.is_recorded,
        hub_sets=tuple(dict.fromkeys(HUB_SETS[kind] for kind in _train_types(config) if kind in HUB_SETS)),
        reads=reading_of(run.config),
    )


def _methods(adapter: Any) -> Iterator[Method]:
    for one in [adapter] if isinstance(adapter, dict) else adapter or ():
        options = {key: value for key, value in one.items() if key not in ('type', '_scope_')}
        kind = ADAPTERS.get(one['type'])
        yield Method(one['type'], options, None if kind is None else paper(kind))


def paper(kind: type) -> str | None:
    """The work that a method is from, as the head of its module cites it; None where it cites none."""
    text = ' '.join((inspect.getdoc(sys.modules[kind.__module__]) or '').split())
    found = PAPER.search(text)
    return found and found[0]


def _base_files(run: Run, words: set[str]) -> Iterator[BaseFile]:
    """Those of the config, with what is known of them.

    Raises:
        PublishError: One of a known hash is the whole base, and the run had another.
    """
    base = run.config.model.get('base_checkpoint') or {}
    whole = 'source' in base
    for part, record in {'': base}.items() if whole else base.items():
        source = str(record['source'])
        known = find_base(source) or next((found for found in read_bases().values() if found.url == source), None)
        url = known.url if known else source
        hub = HUB_URL.match(url) or re.fullmatch(r'([\w.-]+/[\w.-]+)', source if _is_hub_model(source) else '')
        sha256 = known.sha256 if known else None
        found = (run.meta.get('base') or {}).get('sha256')
        if whole and None not in (sha256, found) and sha256 != found:
            raise PublishError(
                f'the config names the base {source} (sha256 {sha256}), and the run had another file: '
                f'{run.meta["base"].get("name")} (sha256 {found})'
            )
        yield BaseFile(
            part, public_text(source, words) or LEFT_OUT, hub and hub[1], sha256, known.licence if known else None
        )


def _is_hub_model(source: str) -> bool:
    """Whether a name is of a model that has come from the hub to this machine; others with a slash may be folders."""
    if '://' in source or source.count('/') != 1 or source.startswith(('/', '.', '~')):
        return False
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(source, 'config.json'), str)


def _train_types(config: Mapping[str, Any]) -> Iterator[str]:
    yield from (dataset.type for dataset in _sets(config, {}) if dataset.split == 'train')


def _sets(config: Mapping[str, Any], recorded: Mapping[str, Any]) -> Iterator[DataSet]:
    """The sets that the run has recorded; of other splits those of its config."""
    for split in SPLITS:
        found = recorded.get(split) or []
        for record in found:
            yield DataSet(split, record['type'], _what(record['type']), record['samples'], *_file(record))
        for settings in () if found else _of_loader(config.get(f'{split}_dataloader')):
            kind = str(settings.get('type', ''))
            yield DataSet(split, kind, _what(kind), file=settings.get('ann_file') or None)


def _file(record: Mapping[str, Any]) -> tuple[str | None, str | None]:
    return record.get('file'), record.get('sha256')


def _of_loader(loader: Any) -> Iterator[Mapping[str, Any]]:
    """Settings of the sets of a loader, of one that joins several, and of several loaders."""
    if isinstance(loader, list):
        for one in loader:
            yield from _of_loader(one)
    elif isinstance(loader, dict):
        inner = [loader[key] for key in ('dataset', 'datasets', 'loaders') if isinstance(loader.get(key), (dict, list))]
        if 'type' in loader and not inner:
            yield loader
        for one in inner:
            named = isinstance(one, dict) and 'type' not in one
            yield from _of_loader(list(one.values()) if named else one)


def _what(kind: str) -> str:
    """First sentence of a set's documentation, its marks of code left out."""
    found = DATASETS.get(kind)
    first = (inspect.getdoc(found) or '').partition('\n\n')[0] if found else ''
    return ' '.join(re.sub(r':\w+:`~?[\w.]*?(\w+)`', r'\1', first).replace('``', '`').split())


def _training(run: Run, config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the run did, as its checkpoint and its config say."""
    meta, wrapper = run.meta, config.get('optim_wrapper') or {}
    optimizer, loader = wrapper.get('optimizer') or {}, config.get('train_dataloader') or {}
    if isinstance(meta.get('iter'), int):
        yield 'steps', f'{meta["iter"]:,}' + (f' ({meta["epoch"]} epochs)' if meta.get('epoch') else '')
    batch, processes = loader.get('batch_size'), run.record.get('processes')
    accumulated = wrapper.get('accumulative_counts', 1)
    if isinstance(batch, int):
        each = f'{batch} in a process'
        each += f', {accumulated} steps accumulated' * (accumulated > 1)
        yield (
            'batch',
            f'{batch * accumulated * processes} ({each}, {processes} process{"es" * (processes > 1)})'
            if processes
            else each,
        )
    if optimizer:
        rest = {key: value for key, value in optimizer.items() if key not in ('type', 'lr')}
        yield 'optimiser', f'{optimizer.get("type")} {_options(rest)}'.strip()
        yield 'learning rate', str(optimizer.get('lr'))
    if schedule := config.get('param_scheduler'):
        schedule = schedule if isinstance(schedule, list) else [schedule]
        yield 'schedule', ', then '.join(_schedule(one) for one in schedule)
    yield 'precision', _precision(config)
    seed = meta.get('seed', (config.get('randomness') or {}).get('seed'))
    yield 'seed', 'not set' if seed is None else str(seed)


def _schedule(settings: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in settings.items() if key not in ('type', 'by_epoch', 'convert_to_iter_based')}
    return f'{settings.get("type")} {_options(rest)}'.strip()


def _precision(config: Mapping[str, Any]) -> str:
    wrapper, model = config.get('optim_wrapper') or {}, config['model']
    frozen = model.get('dtype')
    mixed = str(wrapper.get('type', '')) not in ('OptimWrapper', '')
    told = f'mixed ({wrapper.get("dtype") or "the default of torch.autocast"})' if mixed else 'float32'
    told += f', frozen weights in {frozen}' if frozen else ''
    return told + (f', base quantised ({_options(model["quantization"])})' if model.get('quantization') else '')


def _options(options: Mapping[str, Any]) -> str:
    return ', '.join(f'{key}={_one_line(value)}' for key, value in options.items())


def _one_line(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)
