"""What is only seen by comparing files and texts: duplicates, overlaps of splits, answers outside the list."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from vlpeft.chat import text_of

from .findings import Finding, concerned
from .sets import CheckedSet
from .sources import Source

# What makes two samples of the same files the same.
TEXTS = ('question', 'statement', 'choices', 'ts', 'caption', 'text')
CAPTIONS = ('text', 'caption', 'texts', 'references')
SHOWN = 5


def equal_files(
    sets: list[CheckedSet], sources: Mapping[str, Source], results: Mapping[str, dict]
) -> Iterator[Finding]:
    """Files of equal content within a split and across training and the others; and files that both show."""
    by_path, by_content = defaultdict(list), defaultdict(list)
    for key, source in sources.items():
        by_path[source.path].append(source)
        if results[key]['digest'] is not None:
            by_content[results[key]['digest']].append(source)
    for path, same in by_path.items():
        if trained := _in_training(sets, same):
            if tested := _in_evaluation(sets, same):
                yield Finding(
                    'overlap_path',
                    path,
                    f'shown by {_places(sets, trained, True)} and by {_places(sets, tested, False)}',
                    **concerned(sets, same[0]),
                )
    for same in by_content.values():
        if len({source.path for source in same}) > 1:
            yield from _copies(sets, same)


def _copies(sets: list[CheckedSet], same: list[Source]) -> Iterator[Finding]:
    for split in ('train', 'val', 'test'):
        paths = sorted({source.path for source in same if split in _splits(sets, source)})
        if len(paths) > 1:
            first = next(source for source in same if source.path == paths[0])
            yield Finding(
                'duplicate_file',
                paths[0],
                f'in {split} with the same content: {_list(paths[1:])}',
                **concerned(sets, first),
            )
    trained, tested = _in_training(sets, same), _in_evaluation(sets, same)
    known = {source.path for source in trained}
    others = sorted({source.path for source in tested} - known)
    if trained and others:
        yield Finding(
            'overlap_content',
            trained[0].path,
            f'shown by {_places(sets, trained, True)}; '
            f'{_places(sets, tested, False)} has the same content as {_list(others)}',
            **concerned(sets, trained[0]),
        )


def repeated_records(sets: list[CheckedSet], sources: Mapping[str, Source]) -> Iterator[Finding]:
    """Samples of a set that show the same, say the same and ask the same."""
    shown = [defaultdict(list) for _ in sets]
    for source in sources.values():
        for number, samples in source.samples.items():
            for sample in samples:
                shown[number][sample].append(source.path)
    for entry, files in zip(sets, shown):
        seen: dict[tuple, list[int]] = defaultdict(list)
        for index, paths in files.items():
            info = entry.dataset.get_data_info(index)
            same = (*paths, info.get('start'), info.get('end'), *(_said(info, key) for key in TEXTS))
            # A test has the captions of a clip together.
            texts = [text for key in ('texts', 'references') for text in info.get(key, ())]
            for text in texts or ['']:
                seen[(*same, text)].append(index)
        for same, indices in seen.items():
            if len(indices) > 1 and any(same[-len(TEXTS) - 1 :]):
                said = ' | '.join(filter(None, same[-len(TEXTS) - 1 :]))
                yield Finding(
                    'duplicate_record',
                    said,
                    f'{len(indices)} times for {_list(files[indices[0]])}',
                    [entry.name],
                    len(indices),
                    indices[0],
                )


def _said(info: Mapping, key: str) -> str:
    """What a sample says under a key; a conversation says all of its turns."""
    if 'turns' not in info:
        return str(info.get(key, ''))
    return '\n'.join(map(text_of, info['turns'])) if key == 'text' else ''


def answers_outside(sets: list[CheckedSet]) -> Iterator[Finding]:
    """Sets with a list of answers, and questions that have none of theirs in it."""
    for entry in sets:
        listed = getattr(entry.dataset, 'answer_list', None)
        if not listed:
            continue
        listed, outside, asked, lost, first = set(listed), Counter(), 0, 0, None
        for index in range(len(entry.dataset)):
            info = entry.dataset.get_data_info(index)
            gold = info.get('gold') or info.get('answers') or ()
            asked += bool(gold)
            if gold and listed.isdisjoint(gold):
                lost += 1
                first = index if first is None else first
                outside.update(set(gold))
        if lost:
            common = ', '.join(f'{answer!r} ({count:,})' for answer, count in outside.most_common(SHOWN))
            yield Finding(
                'answers_outside',
                str(entry.config.get('ann_file', '')),
                f'{lost:,} of {asked:,} questions have no answer among the {len(listed):,} of the list; most '
                f'often {common}',
                [entry.name],
                lost,
                first,
            )


def shared_captions(sets: list[CheckedSet]) -> Iterator[Finding]:
    """Captions of training that validation or test has, too, whatever their case and blanks."""
    trained: dict[str, list] = {}
    for number, index, caption in _captions(sets, {'train'}):
        trained.setdefault(_plain(caption), [number, index, 0])[2] += 1
    tested: dict[str, list] = {}
    for number, _, caption in _captions(sets, {'val', 'test'}):
        if _plain(caption) in trained:
            found = tested.setdefault(_plain(caption), [caption, set(), 0])
            found[1].add(number)
            found[2] += 1
    for plain, (caption, numbers, count) in tested.items():
        number, index, times = trained[plain]
        names = [sets[other].name for other in sorted(numbers)]
        yield Finding(
            'captions_in_both',
            caption,
            f'{times} times in training, {count} times in {_list(names)}',
            [sets[number].name, *names],
            times + count,
            index,
        )


def _captions(sets: list[CheckedSet], splits: set[str]) -> Iterator[tuple[int, int, str]]:
    for number, entry in enumerate(sets):
        if entry.dataset is None or not splits & entry.splits:
            continue
        for index in range(len(entry.dataset)):
            info = entry.dataset.get_data_info(index)
            for key in CAPTIONS:
                value = info.get(key, ())
                for caption in [value] if isinstance(value, str) else value:
                    yield number, index, caption


def _plain(text: str) -> str:
    return ' '.join(text.casefold().split())


def _splits(sets: list[CheckedSet], source: Source) -> set[str]:
    return set().union(*(sets[number].splits for number in source.samples))


def _in_training(sets: list[CheckedSet], sources: list[Source]) -> list[Source]:
    return [source for source in sources if 'train' in _splits(sets, source)]


def _in_evaluation(sets: list[CheckedSet], sources: list[Source]) -> list[Source]:
    return [source for source in sources if {'val', 'test'} & _splits(sets, source)]


def _places(sets: list[CheckedSet], sources: list[Source], training: bool) -> str:
    labels = {label for source in sources for number in source.samples for label in sets[number].labels}
    return ', '.join(sorted(label for label in labels if (label.split('/')[0] == 'train') == training))


def _list(names: list[str]) -> str:
    more = f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''
    return ', '.join(names[:SHOWN]) + more
