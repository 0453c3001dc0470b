"""Section of a test of captions: how their scores spread, what is said again and again, best and worst examples."""

from collections import Counter
from collections.abc import Mapping, Sequence

from vlpeft.visualization.answers import with_marks
from vlpeft.visualization.choose import lowest

from .marks import Bar, bars, histogram, notice, number, percent, said
from .task import Task

WORST, BEST, REFERENCES, REPEATED = 8, 6, 3, 5
#: Score that the charts and examples go by: the first one whose values differ.
MEASURES = ('CIDEr', 'ROUGE-L')
BINS = 10


def captions_section(task: Task) -> str:
    """HTML of the section."""
    scored = [row for row in task.rows if 'unreadable' not in row]
    measured = [name for name in MEASURES if len({row.get('scores', {}).get(name, 0) for row in scored}) > 1]
    parts = [task.unreadable()]
    if measured:
        charts = ''.join(_spread(scored, name) for name in measured)
        parts.append(f'<h3>Scores of single captions</h3><div class="pair">{charts}</div>')
    parts.append(_repeated(scored))
    parts.append(_examples(task, scored, measured[0] if measured else MEASURES[0]))
    return ''.join(parts)


def _spread(scored: Sequence[Mapping], name: str) -> str:
    values = [row['scores'][name] for row in scored]
    top = max(100.0, *values)
    edges = [top * i / BINS for i in range(BINS + 1)]
    rows = [
        Bar(f'{low:.0f} to {high:.0f}', count, number(count), more={'share': percent(count, len(values))})
        for low, high, count in zip(edges, edges[1:], histogram(values, edges))
    ]
    caption = (
        f'<b>{said(name)}.</b> A bar is the number of captions with such a score, the best at the bottom; the mean of '
        f'all is {sum(values) / len(values):.1f}.'
    )
    return bars(caption, said(name), rows, max(row.value for row in rows), f'spread {name}', 'captions')


def _repeated(scored: Sequence[Mapping]) -> str:
    times = Counter(row['prediction'] for row in scored)
    rows = [
        Bar(said(text) or '<i>nothing</i>', count, number(count), more={'share': percent(count, len(scored))})
        for text, count in times.most_common(REPEATED)
        if count > 1
    ]
    caption = (
        f'The {len(scored):,} captions are {len(times):,} different texts; these were written most often, which many '
        'unlike pictures should not share.'
    )
    if not rows:
        return notice(f'All {len(scored):,} captions are different texts.')
    chart = bars(caption, 'caption', rows, rows[0].value, 'repeated', 'times')
    return f'<h3>Captions written more than once</h3>{chart}'


def _examples(task: Task, scored: Sequence[Mapping], measure: str) -> str:
    parts = []
    # Where the truth and what was written are the same, one picture says all.
    different = list({(*row.get('truth', ()), row['prediction']): row for row in reversed(scored)}.values())[::-1]
    for title, sign, count in (('Worst captions', 1, WORST), ('Best captions', -1, BEST)):
        chosen = lowest(different, lambda row, sign=sign: sign * row.get('scores', {}).get(measure, 0), count)
        parts.append(f'<h3>{title}</h3>')
        parts.append(
            notice(
                f'The {len(chosen)} of {len(scored):,} captions with the {"lowest" if sign == 1 else "highest"} '
                f'{said(measure)}, each pair of references and caption once; of those that share the last place some '
                'at even distances through the set.'
            )
        )
        parts.append(f'<div class="cards">{"".join(_card(task, row) for row in chosen)}</div>')
    return ''.join(parts)


def _card(task: Task, row: Mapping) -> str:
    references = row.get('truth', ())
    listed = ''.join(
        f'<div class="truth"><span>{"reference" if not place else ""}</span>{said(text)}</div>'
        for place, text in enumerate(references[:REFERENCES])
    )
    if len(references) > REFERENCES:
        listed += f'<div class="truth"><span></span>and {len(references) - REFERENCES} more</div>'
    right = row['prediction'] in references
    written = said(row['prediction']) if right else with_marks(row['prediction'], references[0] if references else '')
    own = row.get('scores', {})
    scores = ' · '.join(f'{name} {own[name]:.1f}' for name in MEASURES if name in own)
    badge = '<b class="rank top">right</b>' if right else ''
    asked = f'<h4>{said(row["question"])}</h4>' if row.get('question') else ''
    picture = task.strip(row['file']) if 'file' in row else ''
    return (
        f'<section class="query card">{picture}<div class="asked">{asked}{listed}'
        f'<div class="answer"><span>caption</span><q>{written or "<i>nothing</i>"}</q>'
        f'{badge}</div>'
        f'<div class="file">{scores}<br>{said(row.get("file", row["sample_id"]))}</div></div></section>'
    )
