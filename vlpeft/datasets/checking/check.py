"""The whole check: sets, files in worker processes with a journal, findings."""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from . import chat_lengths, compare
from .chat_lengths import ChatLengths
from .decode import check_source, stamp_of
from .findings import KINDS, Finding, problems_of_files, refused_sets
from .journal import Journal
from .pool import Died, work_through
from .sets import SPLITS, read_sets
from .sources import Loader, Source, Sources

JOURNAL = 'progress.jsonl'


@dataclass
class Report:
    """What a check has found.

    Args:
        sets: Of each set ``name``, ``labels``, ``type``, ``ann_file`` and ``samples``; of one of conversations that was
            measured also ``tokens`` (:func:`vlpeft.datasets.checking.chat_lengths.describe`), ``max_length`` and
            ``lengths``, the file with the length of each sample.
        files: Distinct files, or features.
        resumed: How many of them an earlier check with the same folder had read.
        fast: Whether their content was not read.
        findings: Sorted by kind.
    """

    sets: list[dict]
    files: int
    resumed: int
    fast: bool
    findings: list[Finding]

    @property
    def counts(self) -> dict[str, int]:
        """Findings by kind, in the order of :data:`KINDS`."""
        counted = Counter(finding.kind for finding in self.findings)
        return {kind: counted[kind] for kind in KINDS if counted[kind]}

    def as_json(self) -> dict:
        """All of it as JSON values."""
        return dict(asdict(self), counts=self.counts)


def check(
    cfg: Mapping,
    out: str | Path,
    splits: tuple[str, ...] = SPLITS,
    workers: int = 2,
    fast: bool = False,
    progress: Callable[[int, int], AbstractContextManager] = lambda files, done: nullcontext(),
) -> Report:
    """Check the sets of a config.

    Args:
        cfg: Config of a run.
        out: Folder of the journal, made if absent. With the journal of a check that was killed, files that were read
            and have not changed since are not read again.
        splits: 'train', 'val', 'test'. Defaults to all.
        workers: Processes that read files. Defaults to 2.
        fast: Look only at existence, size and first bytes of files; their content is not compared. Defaults to False.
        progress: Called with the number of files and how many of these were read before; the context that it gives is
            told of each file that is read, as :class:`vlpeft.engine.progress.Steps` is. Defaults to nothing.

    Raises:
        ValueError: As :func:`read_sets`, or a pipeline that loads no files.
    """
    sets = read_sets(cfg, splits)
    sources = Sources(sets)
    Path(out).mkdir(parents=True, exist_ok=True)
    chats = ChatLengths([] if fast else sets)
    results, resumed = _read_all(sources, chats, Path(out) / JOURNAL, workers, fast, progress)
    readable = [entry for entry in sets if entry.dataset is not None]
    findings = [
        *refused_sets(sets),
        *problems_of_files(sets, sources.by_key, results),
        *chats.findings(results),
        *compare.equal_files(sets, sources.by_key, results),
        *compare.repeated_records(sets, sources.by_key),
        *compare.answers_outside(readable),
        *compare.shared_captions(sets),
    ]
    order = list(KINDS)
    described = [
        dict(
            name=entry.name,
            labels=entry.labels,
            type=entry.config['type'],
            ann_file=str(entry.config.get('ann_file', '')),
            samples=len(entry.dataset or ()),
        )
        for entry in sets
    ]
    for number, lengths in chats.lengths(results).items():
        described[number].update(
            tokens=chat_lengths.describe(lengths),
            max_length=chat_lengths.max_length(sets[number]),
            lengths=chat_lengths.write_lengths(Path(out), sets[number], lengths),
        )
    return Report(described, len(sources.by_key), resumed, fast, sorted(findings, key=lambda f: order.index(f.kind)))


def _read_all(
    sources: Sources, chats: ChatLengths, path: Path, workers: int, fast: bool, progress: Callable
) -> tuple[dict, int]:
    """Results by key, of files and of samples of conversations, and how many of the files were in the journal."""
    journal = Journal(path)
    places = {key: (key, stamp_of(source.file), fast, _needs(source)) for key, source in sources.by_key.items()}
    places.update({key: chats.place(key) for key in chats.keys()})
    results = {key: result for key, place in places.items() if (result := journal.get(place)) is not None}
    resumed_files = sum(key in sources.by_key for key in results)
    resumed, found = len(results), sum(len(result['problems']) for result in results.values())
    work = partial(_work, sources.loaders, sources.by_key, chats, fast)
    with progress(len(places), resumed) as steps:
        for key, result in work_through(work, [key for key in places if key not in results], workers):
            if isinstance(result, Died):
                result = dict(problems=[('crash', f'the process that decoded it ended with {result}')], digest=None)
            elif isinstance(result, Exception):
                result = dict(problems=[('unreadable', str(result))], digest=None)
            journal.put(places[key], result)
            results[key] = result
            found += len(result['problems'])
            if steps is not None and steps.advance():
                steps.show(f'{found:,} findings')
    journal.close()
    return results, resumed_files


def _work(loaders: list[Loader], sources: Mapping[str, Source], chats: ChatLengths, fast: bool, key: str) -> dict:
    if key not in sources:
        return chats.measure(key)
    source = sources[key]
    return check_source(loaders[source.loader], source, fast)


def _needs(source: Source) -> str:
    return ' '.join(sorted(f'{start}-{end}/{frames}' for start, end, frames in source.needs))
