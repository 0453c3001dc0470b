"""The report in a real browser: what it says is what result.json says, whatever the data contain."""

import json
import re
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from tests.browser import DESKTOP, PHONE, needs_chromium, open_page, too_wide
from vlpeft.evaluation.metrics import (
    CaptionMetric,
    ChoiceMetric,
    LabelScoreMetric,
    OpenEndedMetric,
    RetrievalMetric,
    VQASubmission,
)
from vlpeft.evaluation.result import add_intervals, result_of, write_result
from vlpeft.visualization.choose import evenly, lowest
from vlpeft.visualization.report import write_report
from vlpeft.visualization.report.curve import chance, lengths

HOSTILE = '</style></title><script>window.harm = 1</script><img src="http://evil.example/x" onerror="window.harm = 1">'
QUOTED = "\"><svg onload=window.harm=1> & 'quoted' \ud800"
CLIPS = 30


def retrieval_rows(count=CLIPS):
    rng = np.random.default_rng(0)
    names = [HOSTILE, 'gone.mp4', *(f'clips/{i}.mp4' for i in range(2, count))]
    texts = [QUOTED, *(f'text {i}' for i in range(1, count))]
    for direction in ('t2v', 'v2t'):
        for i in range(count):
            order = rng.permutation(count)[:10].tolist()
            rank = order.index(i) + 1 if i in order else int(rng.integers(11, count + 1))
            what = (
                dict(query=texts[i], truth=[names[i]]) if direction == 't2v' else dict(file=names[i], truth=[texts[i]])
            )
            top = [[item, round(3 - place / 2, 2)] for place, item in enumerate(order)]
            yield dict(what, direction=direction, query_id=i, rank=rank, top=top)


def question_rows():
    for i in range(40):
        given = [HOSTILE, 'yes', 'no', QUOTED][i % 4]
        where = dict(question=f'{QUOTED} {i}?', name=HOSTILE if i % 9 == 0 else f'{i // 3}.png')
        kind = ['yes/no', 'what <b>is</b>'][i % 2]
        yield dict(where, question_id=i, pred_answer=given, gold=['yes', 'no'][i % 2 : i % 2 + 1], question_type=kind)


def caption_rows():
    for i in range(12):
        said = HOSTILE if i == 3 else f'a {["red", "blue", "green"][i % 3]} ring'
        yield dict(
            sample_id=i, name=f'{i}.png', pred_caption=said, references=[f'a {["red", "blue"][i % 2]} ring', QUOTED]
        )


def evaluated(tmp_path):
    """Metrics of every kind after their evaluation, and the figures of all."""
    choices = dict(A=HOSTILE, B='cat')
    label = dict(question='what?', name='0.png', label={'yes': 0.6, HOSTILE: 0.3})
    filled = (
        (RetrievalMetric(), list(retrieval_rows())),
        (OpenEndedMetric(prefix='vqa'), list(question_rows())),
        (CaptionMetric(tokenizer='python', prefix='say'), [*caption_rows(), dict(sample_id=99, unreadable=QUOTED)]),
        (LabelScoreMetric(), [dict(label, question_id=i, pred_answer=['yes', HOSTILE, 'x'][i % 3]) for i in range(9)]),
        (ChoiceMetric(), [dict(question_id=0, question='?', gold=['B'], choices=choices, pred_answer=HOSTILE)]),
        (VQASubmission(str(tmp_path / 'server.json')), [dict(question_id=1, pred_answer='x')]),
    )
    figures = {}
    for metric, rows in filled:
        metric.process(None, rows)
        figures.update(metric.evaluate(len(rows)))
    return [metric for metric, _ in filled], figures


def load_frames(name):
    if name == 'gone.mp4':
        raise OSError(f'moov atom not found {HOSTILE}')
    return np.full((4, 200, 300, 3), 90, np.uint8)


@pytest.fixture
def report(tmp_path):
    metrics, figures = evaluated(tmp_path)
    facts = {'date': '2026', 'test set': HOSTILE, 'versions': 'vlpeft'}
    result = result_of(f'configs/{QUOTED}.py', HOSTILE, figures, metrics, facts)
    add_intervals(result, metrics)
    loaders = {metric.prefix: load_frames for metric in metrics[:4]}
    weights = dict(retrieval=lambda text, clip: [1.2, 0.9, 0.9, 1.0])
    page = write_report(tmp_path / 'new' / 'report', result, loaders, weights)
    write_result(tmp_path / 'result.json', result)
    return page, json.loads((tmp_path / 'result.json').read_text())


@needs_chromium
@pytest.mark.parametrize('size, dark', [(DESKTOP, False), (PHONE, True)])
def test_it_opens_without_scrolling_sideways_and_hostile_texts_are_only_text(report, size, dark):
    with open_page(report[0].as_uri(), size, dark) as page:
        assert too_wide(page) == 0
        assert page.evaluate('window.harm === undefined')
        assert page.locator('script, img, iframe, object, link').count() == 0
        assert page.locator('svg:not(.curve)').count() == 0
        text = page.locator('main').inner_text()
        assert text.count('<script>window.harm = 1</script>') > 20 and '<svg onload=window.harm=1>' in text
        assert 'gone.mp4 cannot be shown: moov atom not found' in text
        background = page.evaluate('getComputedStyle(document.body).backgroundColor')
        assert (max(map(int, re.findall(r'\d+', background))) < 80) == dark


def test_the_page_is_complete_in_itself(report):
    page = report[0].read_text()
    assert not re.search(r'<(script|link|img|iframe)', page) and '@import' not in page
    assert all(url.startswith('data:image/jpeg;base64,') for url in re.findall(r'url\(([^)]*)', page))
    assert [path.name for path in report[0].parent.iterdir()] == ['index.html']


@needs_chromium
def test_numbers_are_those_of_the_result_file(report):
    page_file, result = report
    shown = {name: value for name, value in result['metrics'].items() if '_type/' not in name}
    assert {'vqa/accuracy', 'say/CIDEr', 'retrieval/t2v_R@1', 'choice/unanswered'} <= set(shown)
    with open_page(page_file.as_uri()) as page:
        rows = page.locator('tr[data-metric]')
        assert rows.evaluate_all('rows => rows.map(row => row.dataset.metric)') == list(shown)
        for name, value in shown.items():
            row = page.locator(f'tr[data-metric="{name}"]')
            found = [float(text) for text in row.locator('data').evaluate_all('all => all.map(one => one.value)')]
            numeric = isinstance(value, (int, float))
            assert found == [value] * numeric + result['intervals'].get(name, []), name
            assert numeric or value in row.inner_text()
        # What has no interval says why.
        assert 'choice/unanswered' in page.locator('#figures ~ .notice').nth(1).inner_text()
        types = page.locator('.types data').evaluate_all('all => all.map(one => Number(one.value))')
        for name in ('vqa/question_type/yes_no', 'vqa/question_type/what_<b>is<_b>'):
            assert result['metrics'][name] in types


@needs_chromium
def test_bars_hold_every_query_answer_and_caption_once(report):
    with open_page(report[0].as_uri()) as page:
        for chart, total in (
            ('.ranks.t2v', CLIPS),
            ('.ranks.v2t', CLIPS),
            ('.spread.scores', 9),
            ('.spread.CIDEr', 12),
        ):
            counts = page.locator(f'{chart} tbody tr td:nth-child(3) data').evaluate_all(
                'all => all.map(one => one.value)'
            )
            assert sum(map(int, counts)) == total, chart
        groups = page.locator('.sure.t2v tbody tr td:nth-child(4)').all_inner_texts()
        assert list(map(int, groups)) == [6] * 5
        # A bar is as long as its number says.
        bars = page.locator('.ranks.t2v .bar').evaluate_all('all => all.map(one => one.getBoundingClientRect().width)')
        counts = page.locator('.ranks.t2v tbody data').evaluate_all('all => all.map(one => Number(one.value))')
        assert bars == pytest.approx([max(bars) * count / max(counts) for count in counts], abs=1)
        # Charts are read out as tables with headings, or have a text of their own.
        assert page.locator('svg.curve[role=img][aria-label*="R@1"]').count() == 2
        assert page.locator('figure.chart > figcaption').count() == page.locator('figure.chart').count()


@needs_chromium
def test_examples_are_the_worst_and_the_found_with_their_frames(report):
    page_file, result = report
    texts = [row for row in result['predictions']['retrieval'] if row['direction'] == 't2v']
    with open_page(page_file.as_uri()) as page:
        heads = page.locator('.task.retrieval .query:has(.found)')
        shown = [heads.nth(i).locator('.rank').inner_text() for i in range(heads.count())]
        worst = sorted((row['rank'] for row in texts), reverse=True)[:6]
        assert shown[:6] == [f'rank {rank}' for rank in worst] and set(shown[6:]) <= {'rank 1'}
        first = heads.nth(0)
        # The best four found and the right one, which is not among them, in the place of the fourth.
        assert first.locator('.clip').count() == 4 and first.locator('.clip.right').count() == 1
        assert f'{worst[0]}. right one' in first.locator('.clip.right').inner_text()
        weights = first.locator('.clip').first.locator('.weights li').all_inner_texts()
        assert weights == ['1.200', '0.900', '0.900', '1.000']
        sizes = (
            page.locator('.weights')
            .first.locator('li')
            .evaluate_all("all => all.map(one => parseFloat(getComputedStyle(one, '::after').height))")
        )
        assert sizes[0] == pytest.approx(13, abs=0.1) and sizes[1] == pytest.approx(6.5, abs=1.1)
        assert '20.0' in page.locator('.task.retrieval').inner_text()
        wrong = page.locator('.task.questions').first.locator('.cards').first.locator('.answer b').all_inner_texts()
        assert set(wrong) == {'wrong'} and len(wrong) == 12


def test_a_hundred_thousand_predictions_make_a_small_page(tmp_path):
    count, rng = 50_000, np.random.default_rng(0)
    metrics = [RetrievalMetric(), OpenEndedMetric()]
    ranks = np.minimum(rng.geometric(0.01, (2, count)), count)
    rows = [
        dict(direction=direction, query_id=i, rank=int(rank), top=[[int(i * 7 % count), 0.5 - i / count], [i, -1.0]])
        for direction, own in zip(('t2v', 'v2t'), ranks)
        for i, rank in enumerate(own)
    ]
    for row in rows:
        name, text = f'{row["query_id"]}.mp4', f'text of {row["query_id"]}'
        row.update(dict(query=text, truth=[name]) if row['direction'] == 't2v' else dict(file=name, truth=[text]))
    asked = [
        dict(question_id=i, question=f'q {i}', name=f'{i // 5}.mp4', pred_answer=f'a{i % 99}', gold=[f'a{i % 50}'])
        for i in range(count)
    ]
    figures = {}
    for metric, part in zip(metrics, (rows, asked)):
        metric.process(None, part)
        figures.update(metric.evaluate(len(part)))
    result = result_of('a.py', 'none', figures, metrics, {})
    add_intervals(result, metrics)
    noise = rng.integers(0, 255, (8, 300, 400, 3), dtype=np.uint8)
    page = write_report(tmp_path, result, {metric.prefix: lambda name: noise for metric in metrics})
    assert page.stat().st_size < 10_000_000
    assert set(result['intervals']) == {name for name in figures if name != 'open_ended/left_out'}


def test_examples_are_chosen_by_rule():
    assert evenly(list(range(10)), 4) == [0, 3, 6, 9] and evenly([5, 6], 4) == [5, 6] and evenly([], 3) == []
    items = [(3, 'a'), (1, 'b'), (2, 'c'), (2, 'd'), (2, 'e'), (2, 'f'), (2, 'g'), (0, 'h')]
    assert lowest(items, lambda item: item[0], 4) == [(0, 'h'), (1, 'b'), (2, 'c'), (2, 'g')]
    assert lowest(items, lambda item: item[0], 99) == sorted(items, key=lambda item: item[0])


def test_chance_is_what_counting_all_orders_gives():
    for gallery, right, k in ((6, 1, 2), (6, 2, 3), (6, 3, 4), (5, 2, 5)):
        draws = list(combinations(range(gallery), k))
        expected = 100 * sum(min(draw) < right for draw in draws) / len(draws)
        assert chance(k, gallery, {right: 4}) == pytest.approx(expected)
    assert chance(2, 6, {1: 3, 2: 1}) == pytest.approx(0.75 * chance(2, 6, {1: 1}) + 0.25 * chance(2, 6, {2: 1}))
    assert lengths(1) == [1] and lengths(7) == [1, 2, 3, 4, 5, 6, 7] and lengths(50000)[-1] == 50000


def test_results_that_know_no_names_and_no_intervals(tmp_path):
    rows = [dict(direction=direction, query_id=i, rank=1 + i) for direction in ('t2v', 'v2t') for i in range(3)]
    result = dict(config='a.py', checkpoint='none', metrics={'m/t2v_R@1': 33.3}, predictions={'m': rows, 'empty': []})
    page = write_report(tmp_path, result, {}).read_text()
    assert 'text 2' in page and 'clip 2' in page and '33.3' in page and '0 predictions' in page


def test_frames_are_embedded_once_and_small(report):
    page = report[0].read_text()
    rules = re.findall(r'^\.(s\d+c\d+) \{', page, re.MULTILINE)
    assert len(rules) == len(set(rules)) > 20
    (data,) = re.findall(r'^\.s0c0 \{ background-image: url\(data:image/jpeg;base64,([^)]+)', page, re.MULTILINE)
    import base64
    import io

    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (4 * 240, 160)
