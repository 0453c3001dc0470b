"""Bootstrap intervals against closed forms, a slow restatement, and their coverage of the truth."""

from math import comb, sqrt
from statistics import NormalDist

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider

from tests.evaluation.caption_fixture import load
from vlpeft.evaluation.functional import (
    caption_intervals,
    caption_scores,
    mean_intervals,
    percentile_intervals,
    rank_intervals,
    rank_statistics,
    replicates,
    unanimous_interval,
)

Z = NormalDist().inv_cdf(0.975)


def of_mean(scores, clusters=None, **options):
    return mean_intervals(scores, dict(all=np.ones(len(scores), dtype=bool)), clusters, **options)['all']


def test_a_share_of_many_has_the_binomial_interval():
    scores = np.repeat([1.0, 0.0], [700, 1300])
    share, error = 0.35, sqrt(0.35 * 0.65 / 2000)
    assert of_mean(scores, resamples=20000) == pytest.approx((share - Z * error, share + Z * error), abs=0.08 * error)
    # Wilson's interval, which takes no normal distribution of the estimate for granted.
    centre = (share + Z**2 / 4000) / (1 + Z**2 / 2000)
    half = Z * sqrt(share * (1 - share) / 2000 + Z**2 / (4 * 2000**2)) / (1 + Z**2 / 2000)
    assert of_mean(scores, resamples=20000) == pytest.approx((centre - half, centre + half), abs=0.15 * error)


@pytest.mark.parametrize('count', [60, 7])
def test_a_mean_equals_drawing_index_by_index(count):
    """Half of the samples are alike, so that both ways to draw are taken (with 7 all differ)."""
    rng = np.random.default_rng(5)
    scores = rng.random(count) if count == 7 else rng.choice([0.0, 0.3, 1.0], count)
    drawn = [np.mean([scores[rng.integers(count)] for _ in range(count)]) for _ in range(20000)]
    expected = np.percentile(drawn, [2.5, 97.5])
    assert of_mean(scores, resamples=20000) == pytest.approx(expected, abs=0.04 * (expected[1] - expected[0]))


def test_clusters_are_drawn_as_a_whole():
    """Four copies of each sample say no more than one: naive resampling would halve the interval."""
    scores = np.random.default_rng(3).random(50)
    copies, owners = np.tile(scores, 4), [f'file {i}' for i in range(50)] * 4
    alone, together, naive = of_mean(scores), of_mean(copies, owners), of_mean(copies)
    width = [high - low for low, high in (alone, together, naive)]
    assert width[1] == pytest.approx(width[0], rel=0.1) and width[2] == pytest.approx(width[0] / 2, rel=0.1)


def test_clusters_of_different_sizes_equal_a_slow_restatement():
    rng = np.random.default_rng(8)
    owners = rng.integers(12, size=40)
    scores = rng.random(40) * 0.5 + 0.04 * owners
    files = [scores[owners == owner] for owner in np.unique(owners)]
    drawn = [np.concatenate([files[i] for i in rng.integers(len(files), size=len(files))]).mean() for _ in range(20000)]
    expected = np.percentile(drawn, [2.5, 97.5])
    assert of_mean(scores, owners, resamples=20000) == pytest.approx(expected, abs=0.04 * (expected[1] - expected[0]))


def test_about_95_of_100_intervals_hold_the_truth():
    """Clustered samples: each file has its own chance of a right answer, 0.6 on average."""
    rng, held, runs = np.random.default_rng(11), 0, 300
    for seed in range(runs):
        chance = rng.beta(3, 2, size=80).repeat(3)
        low, high = of_mean((rng.random(240) < chance) * 1.0, np.arange(80).repeat(3), resamples=400, seed=seed)
        held += low <= 0.6 <= high
    # Six of a thousand fair series of 300 would have fewer.
    assert 0.91 <= held / runs <= 0.985


def test_the_seed_decides_and_the_order_of_samples_does_not():
    scores = np.random.default_rng(0).random(30)
    assert of_mean(scores, seed=4) == of_mean(scores, seed=4) != of_mean(scores, seed=5)
    assert of_mean((scores > 0.4) * 1.0, seed=4) == of_mean((scores[::-1] > 0.4) * 1.0, seed=4)


def test_where_nothing_differs_the_bound_is_clopper_and_pearsons():
    """Of 20 units without an exception: the share whose 20 units are all right with a chance of 2.5 %."""
    low, high = of_mean([1.0] * 40, np.arange(20).repeat(2))
    assert high == 1 and sum(comb(20, i) * low**i * (1 - low) ** (20 - i) for i in (20,)) == pytest.approx(0.025)
    assert of_mean([0.0] * 20) == pytest.approx((0, 1 - low))
    assert of_mean([1.0]) == pytest.approx((0.025, 1)) == unanimous_interval(1, 1)
    assert of_mean([0.3] * 20) is None and of_mean([0.3]) is None
    assert of_mean([1.0] * 20, are_shares=False) is None
    assert of_mean([0.0, 1.0], ['a', 'a']) is None  # one file
    with pytest.raises(ValueError, match='no sample is given'):
        of_mean([])
    with pytest.raises(ValueError, match='2 samples, but the clusters of 1'):
        of_mean([0.0, 1.0], ['a'])
    with pytest.raises(ValueError, match='no sample belongs to other'):
        mean_intervals([1.0], dict(other=[False]))


def test_groups_are_intervals_of_their_own():
    rng = np.random.default_rng(2)
    scores, first = rng.choice([0.0, 1.0], 200), np.arange(200) < 120
    found = mean_intervals(scores, dict(first=first, second=~first, rare=np.arange(200) == 199), resamples=20000)
    for name, inside in (('first', first), ('second', ~first)):
        share, error = scores[inside].mean(), scores[inside].std() / sqrt(inside.sum())
        assert found[name] == pytest.approx((share - Z * error, share + Z * error), abs=0.15 * error)
    assert found['rare'] == unanimous_interval(scores[199], 1)


def test_figures_of_retrieval_equal_a_slow_restatement():
    rng = np.random.default_rng(9)
    clips = rng.integers(25, size=60)
    ranks = np.concatenate([rng.geometric(0.2, 60), rng.geometric(0.12, 25)])
    clips = np.concatenate([clips, np.arange(25)])
    directions = np.array(['t2v'] * 60 + ['v2t'] * 25)
    drawn = []
    for _ in range(8000):
        chosen = np.concatenate([np.flatnonzero(clips == clip) for clip in rng.integers(25, size=25)])
        parts = {name: rank_statistics(ranks[chosen][directions[chosen] == name]) for name in ('t2v', 'v2t')}
        row = {f'{name}_{figure}': value for name, part in parts.items() for figure, value in part.items()}
        row['mean_R@1'] = np.mean([row['t2v_R@1'], row['v2t_R@1']])
        row['mean_R'] = np.mean([value for name, value in row.items() if '_R@' in name and not name.startswith('mean')])
        drawn.append(row)
    found = rank_intervals(ranks, directions.tolist(), (1, 5, 10), clips, resamples=8000)
    assert set(found) == set(drawn[0])
    for name, ends in found.items():
        values = [row[name] for row in drawn]
        expected, spread = np.percentile(values, [2.5, 97.5]), np.std(values)
        # The recall of 25 clips moves in steps of 4, medians in halves.
        step = 4 if name.startswith('v2t_R') else 0.5 if name.endswith('MdR') else 0
        assert ends == pytest.approx(expected, abs=max(step, 0.15 * spread)), name


def test_folds_are_drawn_each_on_its_own():
    """The mean over two folds of very different recall: its error is that within the folds alone."""
    ranks, folds = np.repeat([1, 9, 1], [2000, 1600, 400]), np.repeat([0, 1], 2000)
    found = rank_intervals(ranks, ['t2v'] * 4000, (1,), folds=folds, resamples=20000)['t2v_R@1']
    error = 100 * sqrt(0.8 * 0.2 / 2000) / 2
    assert found == pytest.approx((60 - Z * error, 60 + Z * error), abs=0.15 * error)


def test_ranks_that_are_all_alike():
    found = rank_intervals([1, 1, 1, 4, 4], ['t2v'] * 3 + ['v2t'] * 2, (1, 5))
    third, half = (100 * 0.025 ** (1 / n) for n in (3, 2))
    assert found['t2v_R@1'] == pytest.approx((third, 100)) and found['v2t_R@1'] == pytest.approx((0, 100 - half))
    assert found['mean_R'] is None or found['mean_R'][0] <= found['mean_R'][1]
    assert found['t2v_MdR'] is found['v2t_MnR'] is None
    one = rank_intervals([3, 2], ['t2v', 'v2t'], (1, 5))
    assert one['t2v_R@5'] == pytest.approx((2.5, 100)) and one['t2v_MnR'] is None


@pytest.mark.parametrize('more', ['', ' in the very old town'])
def test_captions_of_the_whole_set_are_computed_anew_from_what_was_drawn(more):
    """Captions that are shorter than their references, for which BLEU is lowered, and longer ones."""
    texts, tokens = load()['texts'], load()['tokens']
    predictions = [item['prediction'] + more for item in texts]
    report = caption_scores(predictions, [item['references'] for item in texts], tokenizer='python')
    found = {i: [(item['prediction'] + more).strip()] for i, item in enumerate(tokens)}
    assert (report.bleu[:, 8].sum() > report.bleu[:, 9].sum()) == bool(more)
    wanted = {i: item['references'] for i, item in enumerate(tokens)}
    rng, drawn = np.random.default_rng(1), []
    for _ in range(400):
        chosen = dict(enumerate(rng.integers(len(tokens), size=len(tokens)).tolist()))
        parts = {new: wanted[old] for new, old in chosen.items()}, {new: found[old] for new, old in chosen.items()}
        drawn.append(100 * np.array(Bleu(4).compute_score(*parts, verbose=0)[0]))
    intervals = caption_intervals(report, resamples=4000)
    for n in range(4):
        values = np.array(drawn)[:, n]
        low, high = intervals[f'BLEU-{n + 1}']
        assert (low, high) == pytest.approx(np.percentile(values, [2.5, 97.5]), abs=0.35 * values.std())
    own = Cider().compute_score(wanted, found)[1]
    assert report.items['CIDEr'] == pytest.approx(own)
    again = 100 * np.array([np.mean(rng.choice(own, len(own))) for _ in range(4000)])
    assert intervals['CIDEr'] == pytest.approx(np.percentile(again, [2.5, 97.5]), abs=0.1 * again.std())
    assert set(intervals) == set(report.scores)


def test_meteor_says_why_it_has_none_and_alike_captions_have_none():
    report = caption_scores(['a man', 'a man'], [['a man'], ['a man']], tokenizer='python')
    found = caption_intervals(report._replace(scores=dict(report.scores, METEOR=50.0)))
    assert 'METEOR pools the counts' in found['METEOR'] and 'the same' in found['BLEU-1']
    assert found['ROUGE-L'] == pytest.approx((100 * 0.025**0.5, 100))


def test_percentiles_of_any_figures():
    rows = np.random.default_rng(7).normal(size=(400, 2))
    values = replicates(rows, lambda weights, kinds: (weights @ kinds) / weights.sum(1, keepdims=True), resamples=5000)
    error = rows.std(0) / 20
    expected = np.stack([rows.mean(0) - Z * error, rows.mean(0) + Z * error], axis=1)
    assert percentile_intervals(values) == pytest.approx(expected, abs=0.15 * error.max())
