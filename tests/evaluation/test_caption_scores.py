"""Scores of captions: by the papers' formulas written slowly, by pycocoevalcap on its own, and by the fixture."""

import math
from collections import Counter

import pytest

from tests.evaluation.caption_fixture import coco_caption, load, needs_java
from vlpeft.evaluation.functional.captions import caption_scores, check_caption_scorers, tokenize
from vlpeft.evaluation.metrics import CaptionMetric


def fixture():
    content = load()
    return (
        [item['prediction'] for item in content['texts']],
        [item['references'] for item in content['texts']],
        content['tokens'],
        content['scores'],
    )


def test_python_path_gives_the_fixtures_scores():
    predictions, references, _, scores = fixture()
    report = caption_scores(predictions, references, tokenizer='python')
    assert report.tokenizer == 'python'
    assert report.scores == pytest.approx({name: scores[name] for name in scores if name != 'METEOR'}, rel=1e-12)


def test_nothing_is_printed_where_no_bar_can_be_drawn(capfd):
    caption_scores(['a red square'], [['a square']], tokenizer='python')
    assert capfd.readouterr() == ('', '')


@needs_java
def test_java_path_equals_pycocoevalcap_end_to_end():
    predictions, references, tokens, scores = fixture()
    pycocoevalcaps_tokens, pycocoevalcaps_scores = coco_caption(predictions, references)
    metric = CaptionMetric()
    metric.process(
        None,
        [
            dict(sample_id=i, pred_caption=prediction, references=group)
            for i, (prediction, group) in enumerate(zip(predictions, references))
        ],
    )
    metrics = metric.evaluate(len(predictions))
    assert metrics.pop('caption/tokenizer') == 'java'
    assert metrics == pytest.approx({f'caption/{name}': score for name, score in pycocoevalcaps_scores.items()})
    assert pycocoevalcaps_tokens == tokens and pycocoevalcaps_scores == pytest.approx(scores, rel=1e-12)


def ngrams(tokens, n):
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def slow_bleu(found, wanted, n):
    """Papineni et al., ACL 2002: geometric mean of clipped precisions, times the brevity penalty."""
    log_precision = 0
    for k in range(1, n + 1):
        clipped = sum(
            min(count, max(ngrams(reference, k)[gram] for reference in group))
            for hypothesis, group in zip(found, wanted)
            for gram, count in ngrams(hypothesis, k).items()
        )
        log_precision += math.log(clipped / sum(max(0, len(hypothesis) - k + 1) for hypothesis in found)) / n
    length = sum(len(hypothesis) for hypothesis in found)
    closest = sum(
        min((abs(len(reference) - len(hypothesis)), len(reference)) for reference in group)[1]
        for hypothesis, group in zip(found, wanted)
    )
    return 100 * math.exp(log_precision + min(0, 1 - closest / length))


def lcs(a, b):
    if not a or not b:
        return 0
    if a[-1] == b[-1]:
        return lcs(a[:-1], b[:-1]) + 1
    return max(lcs(a[:-1], b), lcs(a, b[:-1]))


def slow_rouge(found, wanted, beta=1.2):
    """Lin, 2004: F measure of the longest common subsequence; best precision and best recall over the references."""
    scores = []
    for hypothesis, group in zip(found, wanted):
        precision = max(lcs(hypothesis, reference) / len(hypothesis) for reference in group)
        recall = max(lcs(hypothesis, reference) / len(reference) for reference in group)
        top = (1 + beta**2) * precision * recall
        scores.append(top / (recall + beta**2 * precision) if top else 0)
    return 100 * sum(scores) / len(scores)


def slow_cider(found, wanted, sigma=6):
    """CIDEr-D, Vedantam et al., CVPR 2015: tf-idf cosine, clipped, with a Gaussian penalty of the length difference."""

    def vector(tokens, n):
        seen = Counter(gram for group in wanted for gram in set().union(*(ngrams(tokens, n) for tokens in group)))
        return {gram: count * math.log(len(wanted) / max(1, seen[gram])) for gram, count in ngrams(tokens, n).items()}

    total = 0
    for hypothesis, group in zip(found, wanted):
        for reference in group:
            # Lengths are in bigrams.
            penalty = math.exp(-((len(hypothesis) - len(reference)) ** 2) / (2 * sigma**2))
            for n in range(1, 5):
                a, b = vector(hypothesis, n), vector(reference, n)
                norm = math.dist(a.values(), [0] * len(a)) * math.dist(b.values(), [0] * len(b))
                dot = sum(min(a[gram], b[gram]) * b[gram] for gram in a if gram in b)
                total += penalty * dot / norm / 4 / len(group) if norm else 0
    return 100 * 10 * total / len(found)


def test_scores_equal_the_papers_formulas():
    found = ['a man rides a horse on the beach', 'two dogs play with a red ball', 'a red bus in the city at night']
    wanted = [
        ['a man rides a brown horse on the beach', 'a man on a horse'],
        ['two dogs play with a red frisbee in the park', 'dogs play with a ball', 'two dogs'],
        ['a bus in the city', 'a red bus at night in the city'],
    ]
    found_tokens, wanted_tokens = [text.split() for text in found], [[t.split() for t in group] for group in wanted]
    expected = {f'BLEU-{n}': slow_bleu(found_tokens, wanted_tokens, n) for n in range(1, 5)}
    expected['ROUGE-L'] = slow_rouge(found_tokens, wanted_tokens)
    expected['CIDEr'] = slow_cider(found_tokens, wanted_tokens)
    # pycocoevalcap adds 1e-9 to BLEU's counts.
    assert caption_scores(found, wanted, tokenizer='python').scores == pytest.approx(expected, rel=1e-6)


def test_perfect_captions():
    captions = ['A man rides a horse.', 'two dogs play with a ball', 'a red bus in the city']
    scores = caption_scores(captions, [[caption] for caption in captions], tokenizer='python').scores
    assert scores == pytest.approx({**{f'BLEU-{n}': 100 for n in range(1, 5)}, 'ROUGE-L': 100, 'CIDEr': 1000}, rel=1e-6)


@pytest.mark.parametrize('tokenizer', ['python', pytest.param('java', marks=needs_java)])
def test_empty_captions_match_nothing(tokenizer):
    scores = caption_scores(['', '...'], [['a man'], ['two dogs']], tokenizer=tokenizer).scores
    assert ('METEOR' in scores) == (tokenizer == 'java')
    assert scores == pytest.approx({name: 0 for name in scores}, abs=1e-6)


def test_empty_captions_beside_others():
    references = [['a man rides a horse'], ['two dogs play with a ball']]
    half = caption_scores(['a man rides a horse', ''], references, tokenizer='python').scores
    assert half['ROUGE-L'] == pytest.approx(50) and half['CIDEr'] == pytest.approx(500)
    # All five words are right, eleven were to be said.
    assert half['BLEU-1'] == pytest.approx(100 * math.exp(1 - 11 / 5), rel=1e-6)
    nobody_spoke = caption_scores(['', 'two dogs'], [['.'], ['two dogs']], tokenizer='python').scores
    assert nobody_spoke['ROUGE-L'] == pytest.approx(100)


def test_measures_that_cannot_be_computed(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match='got 1 and 2'):
        caption_scores(['a'], [['a'], ['b']], tokenizer='python')
    with pytest.raises(ValueError, match='got 0 and 0'):
        caption_scores([], [], tokenizer='python')
    with pytest.raises(ValueError, match=r"item 1 \(prediction 'b'\) has no reference"):
        caption_scores(['a', 'b'], [['a'], []], tokenizer='python')
    with pytest.raises(RuntimeError, match='SPICE is a Java program'):
        check_caption_scorers('python', spice=True)
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(RuntimeError, match='SPICE is a Java program'):
        check_caption_scorers('auto', spice=True)
    report = caption_scores(['a b', 'c'], [['a b'], ['c']])
    assert report.tokenizer == 'python' and 'METEOR' not in report.scores


@needs_java
def test_a_failing_java_program_is_an_error(monkeypatch, tmp_path):
    program = tmp_path / 'java'
    program.write_text('#!/bin/sh\ncat > /dev/null\necho out of memory >&2\nexit 3\n')
    program.chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}:/bin:/usr/bin')
    with pytest.raises(RuntimeError, match='exit code 3.*out of memory'):
        tokenize(['a'], 'java')
