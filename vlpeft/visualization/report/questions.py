"""Section of a test of questions: figures by type, frequent answers and mistakes, right and wrong examples."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vlpeft.visualization.answers import with_marks
from vlpeft.visualization.choose import lowest

from .marks import Bar, bars, histogram, notice, number, percent, said
from .task import Task

TITLES = dict(question_type='By type of question', answer_type='By type of answer')
WRONG, RIGHT = 12, 8
#: Types, answers and mistakes that are listed.
TYPES, ANSWERS = 24, 10
#: Score from which on an answer is shown among the right ones.
RIGHT_FROM = 0.5
SCORES = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def questions_section(task: Task) -> str:
    """HTML of the section."""
    scored = [row for row in task.rows if 'score' in row]
    parts = [task.unreadable()]
    for group, title in TITLES.items():
        parts.append(_types(task, scored, group, title))
    parts += [_scores(scored), _frequent(scored), _examples(task, scored)]
    return ''.join(parts)


def truths(truth: Any) -> list[str]:
    """Right answers of a row, the most frequent or best one first."""
    if isinstance(truth, Mapping):
        return [answer for answer, _ in sorted(truth.items(), key=lambda entry: -entry[1])]
    if isinstance(truth, str):
        return [truth]
    return [answer for answer, _ in Counter(truth or ()).most_common()]


def _types(task: Task, scored: Sequence[Mapping], group: str, title: str) -> str:
    sizes = Counter(row[group] for row in scored if group in row)
    if not sizes:
        return ''
    rows = []
    for name, size in sizes.most_common():
        key = f'{group}/{"_".join(name.split()).replace("/", "_")}'
        mean = 100 * float(np.mean([row['score'] for row in scored if row.get(group) == name]))
        rows.append(
            Bar(
                said(name),
                mean,
                number(task.metrics.get(key, mean)),
                task.intervals.get(key),
                more={'questions': number(size)},
            )
        )
    caption = (
        'The mean score of each type, in per cent, the most frequent one first; the thin line is the 95 % interval, '
        'which is long where there are few questions.'
    )
    chart = bars(caption, title.removeprefix('By '), rows[:TYPES], 100, f'types {group}', 'score')
    if len(rows) > TYPES:
        rest = bars('The less frequent types.', title.removeprefix('By '), rows[TYPES:], 100, '', 'score')
        chart += f'<details><summary>{len(rows) - TYPES:,} more types</summary>{rest}</details>'
    return f'<h3>{title}</h3>{chart}'


def _scores(scored: Sequence[Mapping]) -> str:
    values = [row['score'] for row in scored]
    if set(values) <= {0, 1}:
        return ''
    counts = [values.count(0), *histogram([v for v in values if 0 < v < 1], SCORES), values.count(1)]
    labels = ['0', *(f'{low:g} to {high:g}' for low, high in zip(SCORES, SCORES[1:])), '1']
    rows = [
        Bar(label, count, number(count), more={'share': percent(count, len(values))})
        for label, count in zip(labels, counts)
        if count
    ]
    caption = (
        'A bar is the number of answers with that score: 0 is wrong, 1 wholly right, what is between counts in part.'
    )
    return f'<h3>Scores</h3>{bars(caption, "score", rows, max(counts), "spread scores", "answers")}'


def _frequent(scored: Sequence[Mapping]) -> str:
    charts = (_answers(scored), _mistakes(scored))
    return f'<h3>Answers and mistakes</h3><div class="pair">{"".join(charts)}</div>'


def _answers(scored: Sequence[Mapping]) -> str:
    given = Counter(row['prediction'] for row in scored)
    true = Counter(truths(row.get('truth'))[0] for row in scored if truths(row.get('truth')))
    names = [name for name, _ in (true + given).most_common(ANSWERS)]
    rows = [
        Bar(
            said(name) or '<i>nothing</i>',
            given[name],
            number(given[name]),
            more={
                'true': number(true[name]),
                'right': percent(
                    sum(row['score'] >= RIGHT_FROM for row in scored if row['prediction'] == name), given[name]
                ),
            },
        )
        for name in names
    ]
    caption = (
        f'The {len(names)} most frequent answers: how often the model gave each, how often it is the truth, and which '
        'share of those given is right; far more given than true is what a model says when it does not know.'
    )
    return bars(caption, 'answer', rows, max(bar.value for bar in rows), 'answers', 'given')


def _mistakes(scored: Sequence[Mapping]) -> str:
    wrong = [row for row in scored if row['score'] < RIGHT_FROM and truths(row.get('truth'))]
    pairs = Counter((truths(row['truth'])[0], row['prediction']) for row in wrong)
    if not pairs:
        return ''
    rows = [
        Bar(f'{said(truth)} <span class="arrow">→</span> {said(answer) or "<i>nothing</i>"}', count, number(count))
        for (truth, answer), count in pairs.most_common(ANSWERS)
    ]
    caption = f'Of the {len(wrong):,} wrong answers the most frequent ones: what would be right → what the model said.'
    return bars(caption, 'truth → answer', rows, rows[0].value, 'mistakes', 'times')


def _examples(task: Task, scored: Sequence[Mapping]) -> str:
    wrong = [row for row in scored if row['score'] < RIGHT_FROM]
    right = [row for row in scored if row['score'] >= RIGHT_FROM]
    parts = []
    for title, rows, chosen, rule in (
        ('Wrong answers', wrong, lowest(wrong, lambda row: row['score'], WRONG), 'the lowest scores'),
        ('Right answers', right, lowest(right, lambda row: -row['score'], RIGHT), 'the highest scores'),
    ):
        kind = 'below' if rows is wrong else 'of at least'
        text = f'{len(chosen)} of the {len(rows):,} answers with a score {kind} {RIGHT_FROM}: {rule}, and where many'
        parts.append(f'<h3>{title}</h3>')
        parts.append(notice(f'{text} are alike some at even distances through the set.' if rows else 'There are none.'))
        parts.append(f'<div class="cards">{"".join(_card(task, row) for row in chosen)}</div>')
    return ''.join(parts)


def _card(task: Task, row: Mapping) -> str:
    right, known = row['score'] >= RIGHT_FROM, truths(row.get('truth'))
    badge = ('right' if right else 'wrong') if row['score'] in (0, 1) else f'score {row["score"]:.2f}'
    answer = said(row['prediction']) if right else with_marks(row['prediction'], known[0] if known else '')
    named = ''
    if 'named' in row:
        named = f'<div class="truth"><span>understood</span>{said(", ".join(row["named"]) or "no choice")}</div>'
    picture = task.strip(row['file']) if 'file' in row else ''
    question = said(row.get('question', row['question_id']))
    return (
        f'<section class="query card">{picture}<div class="asked"><h4>{question}</h4>'
        f'<div class="truth"><span>truth</span>{said("; ".join(known[:3])) or "not known"}</div>'
        f'<div class="answer"><span>answer</span><q>{answer or "<i>nothing</i>"}</q>'
        f'<b class="rank {"top" if right else "far"}">{badge}</b></div>{named}'
        f'<div class="file">{said(row.get("file", ""))}</div></div></section>'
    )
