"""Section of a retrieval test: recall curves, ranks, how far scores can be trusted, best and worst queries."""

from collections import Counter
from collections.abc import Mapping, Sequence

from vlpeft.evaluation.functional import mean_intervals, rank_intervals, recall_at_k
from vlpeft.evaluation.metrics.retrieval import clip_of
from vlpeft.evaluation.predictions import gallery_names
from vlpeft.visualization.choose import evenly, lowest

from .curve import chance, lengths, recall_curve
from .marks import Bar, bars, notice, number, percent, said, signed
from .task import Task

TITLES = dict(t2v='Text to clip', v2t='Clip to text')
ITEMS = dict(t2v='clips', v2t='texts')
#: Queries that are shown of each direction, found clips and texts of each.
WORST, BEST, CLIPS, TEXTS = 6, 4, 4, 5
EDGES = (1, 2, 3, 4, 6, 11, 21, 51, 101, 201, 501, 1001, 2001, 5001, 10001)
FIFTHS = 5


def retrieval_section(task: Task) -> str:
    """HTML of the section."""
    names = gallery_names(task.rows)
    parts = [task.unreadable()]
    directions = {direction: [row for row in task.rows if row['direction'] == direction] for direction in TITLES}
    sizes = {'t2v': len(directions['v2t']), 'v2t': len(directions['t2v'])}
    charts = [(_curve, 'Recall by length of the list'), (_ranks, 'Ranks'), (_sureness, 'Can the scores be trusted?')]
    for chart, title in charts:
        drawn = [chart(direction, rows, sizes[direction]) for direction, rows in directions.items() if rows]
        if any(drawn):
            parts.append(f'<h3>{title}</h3><div class="pair">{"".join(drawn)}</div>')
    captions = {row['file']: row['truth'][0] for row in directions['v2t'] if row.get('truth') and 'file' in row}
    for direction, rows in directions.items():
        if rows:
            parts.append(_examples(task, direction, rows, names[direction], captions))
    return ''.join(parts)


def _curve(direction: str, rows: Sequence[Mapping], gallery: int) -> str:
    ks, ranks = lengths(gallery), [row['rank'] for row in rows]
    clips = [clip_of(row) for row in rows]
    bands = rank_intervals(ranks, [direction] * len(ranks), ks, None if None in clips else clips)
    recalls = [recall_at_k(ranks, k) for k in ks]
    rights = Counter(1 if direction == 't2v' else len(row.get('truth', ' ')) for row in rows)
    by_chance = [chance(k, gallery, rights) for k in ks]
    told = ', '.join(f'R@{k} {recall:.1f}' for k, recall in zip(ks, recalls) if k in (1, 5, 10) or k == ks[-1])
    svg = recall_curve(
        ks,
        recalls,
        [bands[f'{direction}_R@{k}'] for k in ks],
        by_chance,
        f'{TITLES[direction]}: {told}; by chance R@1 {by_chance[0]:.1f}',
    )
    caption = (
        f'<b>{TITLES[direction]}.</b> The line is the share of the {len(rows):,} queries whose right one is among the '
        f'first K of {gallery:,} {ITEMS[direction]}; the band holds 95 %, the dashed line is a random order.'
    )
    return f'<figure class="chart recall {direction}"><figcaption>{caption}</figcaption>{svg}</figure>'


def _ranks(direction: str, rows: Sequence[Mapping], gallery: int) -> str:
    ranks = [row['rank'] for row in rows]
    top = max(gallery, *ranks)
    # Behind the last query there is one bin, however long the gallery is.
    last = next((edge for edge in EDGES if edge > max(ranks)), top + 1)
    edges = sorted({*(edge for edge in EDGES if edge <= min(last, top)), top + 1})
    drawn = []
    for low, after in zip(edges, edges[1:]):
        count = sum(low <= rank < after for rank in ranks)
        label = f'{low:,}' if after == low + 1 else f'{low:,}–{after - 1:,}'
        drawn.append(Bar(label, count, number(count), more={'share': percent(count, len(ranks))}))
    caption = (
        f'<b>{TITLES[direction]}.</b> A bar is the number of queries whose best right one stands at that place of the '
        'list: the more at 1, the better.'
    )
    return bars(caption, 'rank', drawn, max(bar.value for bar in drawn), f'ranks {direction}', 'queries')


def _sureness(direction: str, rows: Sequence[Mapping], _gallery: int) -> str:
    scored = sorted((row for row in rows if row.get('top')), key=lambda row: row['top'][0][1])
    if len(scored) < 4 * FIFTHS:
        return ''
    drawn = []
    for part in range(FIFTHS):
        some = scored[part * len(scored) // FIFTHS : (part + 1) * len(scored) // FIFTHS]
        right = [float(row['rank'] == 1) for row in some]
        clips = [clip_of(row) for row in some]
        ends = mean_intervals(right, {'': [True] * len(right)}, None if None in clips else clips)['']
        low, high = some[0]['top'][0][1], some[-1]['top'][0][1]
        drawn.append(
            Bar(
                f'{signed(low)} to {signed(high)}',
                sum(right) / len(right),
                percent(int(sum(right)), len(right)),
                ends,
                more={'queries': number(len(some))},
            )
        )
    caption = (
        f'<b>{TITLES[direction]}.</b> Queries in five equal groups by the score of what was found first: bars that '
        'grow from top to bottom mean that a high score can be trusted; the thin line is the 95 % interval.'
    )
    return bars(caption, 'score of the first', drawn, 1, f'sure {direction}', 'right')


def _examples(
    task: Task, direction: str, rows: Sequence[Mapping], names: Mapping[int, str], captions: Mapping[str, str]
) -> str:
    missed = [row for row in rows if row['rank'] > 1]
    found = [row for row in rows if row['rank'] == 1]
    groups = (
        ('found last', missed, lowest(missed, lambda row: -row['rank'], WORST), 'the highest ranks'),
        ('found first', found, evenly(found, BEST), 'at even distances through the set'),
    )
    parts = []
    how = _weights_notice(task, [row for _, _, chosen, _ in groups for row in chosen]) if direction == 't2v' else ''
    for title, all_rows, chosen, rule in groups:
        parts.append(f'<h3>{TITLES[direction]}: {title}</h3>')
        ranked = 'rank 1' if all_rows is found else 'a rank above 1'
        text = f'{len(chosen)} of the {len(all_rows):,} queries with {ranked}, {rule}.'
        parts.append(notice(text if all_rows else f'No query has {ranked}.') + how * bool(all_rows))
        how = how if not all_rows else ''
        card = _text_card if direction == 't2v' else _clip_card
        parts += [card(task, row, names, captions) for row in chosen]
    return ''.join(parts)


def _weights_notice(task: Task, rows: Sequence[Mapping]) -> str:
    """Sets the scale of the bars below frames by the pairs that will be shown, and says how to read them."""
    pairs = [(row['query_id'], item) for row in rows for item, _ in row.get('top', ())[:CLIPS]]
    apart = [abs(weight - 1) for pair in pairs for weight in task.weights(*pair) or ()]
    if not apart:
        return ''
    task.full_weight = max(*apart, 1e-3)
    return notice(
        'The bars below the frames of found clips say how much the model weighs each frame for the query: a full bar '
        'up more than the average of 1, a hatched one down less. The longest bar on this page stands for a weight that '
        f'is {100 * task.full_weight:.1f}\u202f% away from the average.'
    )


def _text_card(task: Task, row: Mapping, names: Mapping[int, str], captions: Mapping[str, str]) -> str:
    truth, cells = row.get('truth', ()), []
    ids = {name: item for item, name in names.items()}
    top = row.get('top', ())
    listed = [(place, item, names.get(item), score) for place, (item, score) in enumerate(top, start=1)]
    shown = listed[:CLIPS]
    if truth and not any(name in truth for _, _, name, _ in shown):
        far = next((entry for entry in listed if entry[2] in truth), None)
        shown[CLIPS - 1 :] = [far or (row['rank'], ids.get(truth[0]), truth[0], None)]
    for place, item, name, score in shown:
        name, right = name or f'clip {item}', name in truth
        weights = task.weights(row['query_id'], item)
        mark = ' <b>right one</b>' if right else ''
        told = '' if score is None else signed(score)
        cells.append(
            f'<div class="clip{" right" * right}">{task.strip(name, weights)}'
            f'<div class="note"><span>{place}.{mark}</span><span>{told}</span></div>'
            f'<div class="caption">{said(captions.get(name, ""))}<span class="file">{said(name)}</span></div></div>'
        )
    return _card(row.get('query', f'text {row["query_id"]}'), row['rank'], f'<div class="found">{"".join(cells)}</div>')


def _clip_card(task: Task, row: Mapping, names: Mapping[int, str], captions: Mapping[str, str]) -> str:
    file, truth = row.get('file', f'clip {row["query_id"]}'), row.get('truth', ())
    lines = []
    for place, (item, score) in enumerate(row.get('top', ())[:TEXTS], start=1):
        text = names.get(item, f'text {item}')
        lines.append(_line(f'{place}. {said(text)}', signed(score), text in truth))
    if truth and row['rank'] > TEXTS:
        lines.append(_line(f'{row["rank"]}. {said(truth[0])}', '', True))
    inside = f'<div class="reverse"><div class="clip">{task.strip(file)}</div><ol>{"".join(lines)}</ol></div>'
    return _card(file, row['rank'], inside)


def _line(text: str, score: str, right: bool) -> str:
    mark = ' <b>right one</b>' if right else ''
    return f'<li{" class=right" * right}><span>{text}{mark}</span><span class="score">{score}</span></li>'


def _card(title: str, rank: int, inside: str) -> str:
    kind = 'top' if rank == 1 else 'near' if rank <= TEXTS else 'far'
    badge = f'<span class="rank {kind}">rank {rank:,}</span>'
    return f'<section class="query"><div class="head"><h4>{said(title)}</h4>{badge}</div>{inside}</section>'
