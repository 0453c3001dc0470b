"""Table of the figures of a test with their intervals."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

from .marks import interval, notice, number, said

#: Figures that sections show, where there are many of them.
ELSEWHERE = ('question_type/', 'answer_type/')
MEANINGS = {
    'R@1': 'queries whose right one is found first, %',
    'R@5': 'queries whose right one is among the first 5, %',
    'R@10': 'queries whose right one is among the first 10, %',
    'MdR': 'median rank of the right one, 1 is best',
    'MnR': 'mean rank of the right one, 1 is best',
    'mean_R@1': 'mean of both directions, %',
    'mean_R': 'mean of all recalls, %',
    'accuracy': 'mean score of the answers, %',
    'consistency': 'statements judged right about all their pairs, %',
    'ANLS': 'mean similarity with the right answer, %',
    'CIDEr': 'words shared with the references, rare ones count more',
    'ROUGE-L': 'longest common sequence of words, %',
    'METEOR': 'words, stems and synonyms shared, %',
    'SPICE': 'objects, attributes and relations shared, %',
    'left_out': 'samples whose files cannot be read',
    'ambiguous': 'answers that name several choices',
    'unanswered': 'answers that name no choice',
    'tokenizer': 'of the captions',
    **{f'BLEU-{n}': f'runs of {n} word{"s" * (n > 1)} shared, %' for n in range(1, 5)},
}
DIRECTIONS = dict(t2v='text to clip', v2t='clip to text')


def figure_table(result: Mapping[str, Any]) -> str:
    """All figures but those of single types: name, meaning, value, interval, and the interval on a scale of 100."""
    found, missing = result.get('intervals', {}), result.get('no_intervals', {})
    shown = {name: value for name, value in result['metrics'].items() if not any(part in name for part in ELSEWHERE)}
    rows = ''.join(_row(name, value, found.get(name), missing.get(name)) for name, value in shown.items())
    units = '; '.join(f'{said(prefix)}: {said(unit)}' for prefix, unit in result.get('resampled', {}).items())
    told = (
        'Another test set of the same kind would give other figures: 95 % of the time within the interval. It comes '
        f'from resampling what is independent ({units}). Two models whose intervals overlap may still differ: compare '
        'them on the same samples.'
    )
    reasons = _reasons({name: why for name, why in missing.items() if name in shown and isinstance(shown[name], Real)})
    return (
        f'{notice(told) if found else ""}<div class="scores"><table class="figures"><thead><tr>'
        '<th scope="col">figure</th><th scope="col">value</th><th scope="col">95 % interval</th>'
        '<th scope="col" aria-hidden="true"></th></tr></thead>'
        f'<tbody>{rows}</tbody></table></div>{reasons}'
    )


def _row(name: str, value: Any, ends: Any, why: str | None) -> str:
    low, high = ends or (0, 0)
    # Ranks have no scale, and CIDEr may pass 100.
    on_scale = ends is not None and isinstance(value, Real) and not name.endswith(('MdR', 'MnR')) and high <= 100
    drawn = (
        f'<span class="scale"><i class="whisker" style="left:{low:.2f}%;width:{high - low:.2f}%"></i>'
        f'<i class="at" style="left:{value:.2f}%"></i></span>'
        if on_scale
        else ''
    )
    cell = '' if ends is None and why is None else interval(ends)
    return (
        f'<tr data-metric="{said(name)}"><th scope="row"><code>{said(name)}</code>{_meaning(name)}</th>'
        f'<td class="number value">{number(value)}</td><td class="number">{cell}</td>'
        f'<td class="track" aria-hidden="true">{drawn}</td></tr>'
    )


def _meaning(name: str) -> str:
    last = name.rpartition('/')[2]
    last = last.partition('fold_')[2] or last
    direction, _, figure = last.partition('_')
    if direction in DIRECTIONS:
        return f'<small>{DIRECTIONS[direction]}: {MEANINGS.get(figure, "")}</small>'
    return f'<small>{MEANINGS[last]}</small>' if last in MEANINGS else ''


def _reasons(missing: Mapping[str, str]) -> str:
    if not missing:
        return ''
    by_reason: dict[str, list[str]] = {}
    for name, why in missing.items():
        by_reason.setdefault(why, []).append(name)
    codes = {why: ', '.join(f'<code>{said(name)}</code>' for name in names) for why, names in by_reason.items()}
    lines = [f'{names}: {said(why)}' for why, names in codes.items()]
    return notice(f'No interval – {"; ".join(lines)}.')
