"""A model card: Markdown with the front matter of the Hugging Face hub."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from .facts import Facts, Method
from .loading import loading_lines
from .tasks import task_of

NOT_STATED = 'not stated; fill in'
NOT_RECORDED = 'not recorded by the run'


def model_card(facts: Facts, place: str, config: str | None = None) -> str:
    """The card.

    Args:
        facts: What is known.
        place: Of the file or folder that it goes with: its name, or a name on the hub.
        config: Config to load the file with, a name of the zoo or a file. Defaults to None: ``place`` is a folder with
            its recipe.
    """
    import yaml

    front = yaml.safe_dump(front_matter(facts), sort_keys=False, allow_unicode=True, width=120)
    sections = (
        ('', _introduction(facts)),
        ('Load it', [*_fenced(loading_lines(facts, place, config))]),
        ('Method', _method(facts)),
        ('Base', _base(facts)),
        ('Data', _data(facts)),
        ('Training', _training(facts)),
        ('Results', _results(facts)),
        ('Licence', _licence(facts)),
        ('Versions', _versions(facts)),
    )
    body = '\n\n'.join('\n'.join([f'## {title}', ''] * bool(title) + list(lines)) for title, lines in sections)
    return f'---\n{front}---\n\n# {facts.name}\n\n{body}\n'


def front_matter(facts: Facts) -> dict[str, Any]:
    """What the hub reads of a card."""
    task = task_of(facts)
    hubs = list(dict.fromkeys(file.hub for file in facts.base_files if file.hub))
    methods = [method.name.lower() for method in facts.methods]
    matter: dict[str, Any] = dict(library_name='vlpeft')
    if facts.licence is not None:
        matter['license'] = facts.licence
    if hubs:
        matter.update(base_model=hubs if len(hubs) > 1 else hubs[0], base_model_relation='adapter')
    if task.pipeline:
        matter['pipeline_tag'] = task.pipeline
    matter['tags'] = list(dict.fromkeys(['vlpeft', 'parameter-efficient-fine-tuning', *methods, task.tag]))
    if facts.hub_sets:
        matter['datasets'] = list(facts.hub_sets)
    if facts.result is not None:
        metrics = [_index_metric(name, value) for name, value in facts.result.metrics.items()]
        matter['metrics'] = list(dict.fromkeys(metric['type'] for metric in metrics))
        tested = next((one for one in facts.sets if one.split == 'test'), None)
        kind = facts.hub_sets[0] if facts.hub_sets else 'own'
        dataset = dict(
            name=f'{tested.type} {tested.file or ""}'.strip() if tested else 'test set', type=kind, split='test'
        )
        found = dict(task=dict(type=task.pipeline or task.tag, name=task.name), dataset=dataset, metrics=metrics)
        matter['model-index'] = [dict(name=facts.name, results=[found])]
    return matter


def _index_metric(name: str, value: float) -> dict[str, Any]:
    """A metric as a model index has it; of recalls R@k the type is ``recall_at_k``."""
    last = re.sub(r'R@(\d+)$', r'recall_at_\1', name.partition('/')[2] or name)
    kind = re.sub(r'[^a-z0-9]+', '_', last.lower()).strip('_')
    return dict(type=kind, name=name, value=value)


def _introduction(facts: Facts) -> Iterator[str]:
    yield task_of(facts).purpose
    yield ''
    trained = ' + '.join(method.name for method in facts.methods) or facts.beside
    share = 100 * facts.trained / facts.total
    rest = '; the others are those of the [base](#base)' if facts.trained < facts.total else ''
    yield (
        f'Trained with vlpeft: {trained}, {facts.trained:,} of {facts.total:,} parameters ({share:.2f} %). They are '
        f'what is published here{rest}.'
    )
    if facts.tasks:
        yield from ('', f'Tasks: {", ".join(facts.tasks)}.')


def _fenced(lines: Sequence[str]) -> Iterator[str]:
    yield from ('```python', *lines, '```')


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    def line(cells: Sequence[Any]) -> str:
        texts = ('' if cell is None else str(cell).replace('|', '\\|').replace('\n', ' ') for cell in cells)
        return f'| {" | ".join(texts)} |'

    yield line(head)
    yield line(['---'] * len(head))
    yield from map(line, rows)


def _method(facts: Facts) -> Iterator[str]:
    for number, method in enumerate(facts.methods):
        yield from [''] * bool(number)
        yield from _one_method(method)
    if not facts.methods:
        yield 'No method is put on the model: parts of it train as they are.'
    yield from ('', f'Beside the method train: `{facts.beside}`.')


def _one_method(method: Method) -> Iterator[str]:
    yield f'**{method.name}**' + (f' ({method.paper}).' if method.paper else '.')
    if method.options:
        yield ''
        yield from _table(
            ('option', 'value'), [(f'`{key}`', f'`{value!r}`') for key, value in sorted(method.options.items())]
        )


def _base(facts: Facts) -> Iterator[str]:
    if facts.base is None:
        yield 'None: nothing was loaded below the trained parts, and what is frozen has its initial values.'
        return
    rows = [('file', f'`{facts.base.get("name")}`'), ('sha256', f'`{facts.base.get("sha256")}`')]
    yield 'Another file than this is refused when the trained parts are loaded.'
    yield ''
    yield from _table(('', 'recorded by the run'), rows)
    yield ''
    yield from _table(
        ('part', 'source in the config', 'on the hub', 'licence'),
        [
            (
                file.part or 'whole model',
                f'`{file.source}`',
                file.hub and f'[{file.hub}](https://huggingface.co/{file.hub})',
                f'{file.licence}, as its makers state' if file.licence else 'not known here; see where it is from',
            )
            for file in facts.base_files
        ],
    )


def _data(facts: Facts) -> Iterator[str]:
    if not facts.sets:
        yield NOT_RECORDED.capitalize() + '.'
        return
    yield from _table(
        ('split', 'set', 'samples', 'file', 'sha256 of the file'),
        [
            (
                one.split,
                f'`{one.type}`',
                NOT_RECORDED if one.samples is None else f'{one.samples:,}',
                f'`{one.file}`' if one.file else '',
                f'`{one.sha256}`' if one.sha256 else NOT_RECORDED,
            )
            for one in facts.sets
        ],
    )
    for kind, what in dict.fromkeys((one.type, one.what) for one in facts.sets if one.what):
        yield from ('', f'`{kind}`: {what}')


def _training(facts: Facts) -> Iterator[str]:
    if not facts.training:
        yield (
            'The checkpoint does not record the config of its run; method and base above are those of the config with '
            'which it was published, and which it fits.'
        )
        return
    yield from _table(('setting', 'value'), facts.training)


def _results(facts: Facts) -> Iterator[str]:
    result = facts.result
    if result is None:
        yield 'None are given with this card.'
        return
    samples = ', '.join(f'{count:,} (`{name}`)' for name, count in result.samples.items())
    yield f'Found by `vlpeft test` with this checkpoint{f"; predictions: {samples}" if samples else ""}.'
    yield ''
    intervals = result.intervals
    head = ('metric', 'value', '95 % interval') if intervals else ('metric', 'value')
    rows = [(f'`{name}`', _number(value)) for name, value in result.metrics.items()]
    if intervals:
        ends = {name: f'{_number(low)} to {_number(high)}' for name, (low, high) in intervals.items()}
        rows = [(*row, ends.get(name)) for row, name in zip(rows, result.metrics)]
    yield from _table(head, rows)
    for name, value in result.notes.items():
        yield from ('', f'`{name}`: {" ".join(value.split())}')
    if intervals:
        yield from ('', 'Intervals: bootstrap over the samples of the test set.')


def _number(value: float) -> str:
    return f'{value:,.2f}' if abs(value) >= 1 or value == 0 else f'{value:.4f}'


def _licence(facts: Facts) -> Iterator[str]:
    yield f'Of the trained parts: {facts.licence or NOT_STATED}.'
    if facts.base is not None:
        yield 'The base has a licence of its own (above), which may say how a model that is made from it may be used.'


def _versions(facts: Facts) -> Iterator[str]:
    if facts.versions:
        yield from _table(('library', 'version in the run'), list(facts.versions.items()))
    else:
        yield f'Libraries: {NOT_RECORDED}.'
    yield ''
    code = facts.code
    if code:
        changed = ', with changes that are not in it' if code.get('dirty') else ', unchanged'
        yield f'Code: commit `{code.get("commit")}`{changed}.'
    else:
        yield f'Commit of the code: {NOT_RECORDED}{" (an installed package has none)" if facts.versions else ""}.'
