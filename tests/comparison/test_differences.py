"""Differences of methods: against a restatement, and Holm's procedure against its example."""

import numpy as np
import pytest

from vlpeft.comparison.differences import differences_of, holm, to_markdown
from vlpeft.comparison.study import StudyError, read_study

STUDY = """
title: Two
metric: vqa/accuracy
pairs: [[plain, better], [plain, absent]]
seeds: [0, 1]
learning_rates: [1.0e-3]
methods:
  plain: {config: empty.py}
  better: {config: empty.py}
  absent: {config: empty.py}
"""


@pytest.fixture
def study(tmp_path):
    (tmp_path / 'empty.py').write_text('')
    (tmp_path / 'two.yml').write_text(STUDY)
    return read_study(tmp_path / 'two.yml')


def record(scores, units, digest='a'):
    samples = dict(sha256=digest, units=units, scores=list(scores))
    return dict(run_info=dict(experiment_name='two/x/seed0'), samples=samples)


def test_holm():
    # The example of Holm's procedure with m = 4: 4 * 0.005, 3 * 0.01, 2 * 0.03, and 0.04 is raised to what precedes it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, None, 0.8]) == [1.0, None, 1.0] and holm([]) == []


def test_means_over_seeds_are_compared_unit_by_unit(study):
    rng = np.random.default_rng(0)
    units = np.repeat(np.arange(40), 3)
    plain, better = (100.0 * (rng.random((2, 120)) < share) for share in (0.4, 0.6))
    records = {
        name: [record(scores, units.tolist()) for scores in found]
        for name, found in (('plain', plain), ('better', better))
    }
    (row,) = differences_of(study, records)
    change = better.mean(0) - plain.mean(0)
    drawn = []
    for _ in range(4000):
        change_of_runs = better[rng.integers(2, size=2)].mean(0) - plain[rng.integers(2, size=2)].mean(0)
        drawn.append(np.concatenate([change_of_runs[units == unit] for unit in rng.integers(40, size=40)]).mean())
    assert row['difference'] == pytest.approx(change.mean()) and row['units'] == 40
    # Ends of two bootstraps differ by chance: 4,000 draws place a quantile of 2.5 % within a tenth of the width.
    width = np.quantile(drawn, 0.975) - np.quantile(drawn, 0.025)
    assert [row['low'], row['high']] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=width / 10)
    assert row['p_value'] == row['p_holm'] < 0.01
    table = to_markdown([row], dict(plain='Plain', better='Better'))
    assert f'| Better | Plain | {change.mean():+.1f} |' in table


def test_other_samples_are_refused(study):
    records = dict(plain=[record([1.0], None)], better=[record([1.0], None, 'b')])
    with pytest.raises(StudyError, match='cannot be paired: they were tested on different samples'):
        differences_of(study, records)
    records['better'][0]['samples'] = None  # of a figure that is no mean over samples
    assert differences_of(study, records) == []


@pytest.mark.parametrize(
    'pairs, message',
    [
        ('[[plain, beter]]', "there is no method 'beter'.*did you mean better"),
        ('[[plain, plain]]', 'no list of two methods'),
        ('[plain]', "'plain' is no list of two methods"),
    ],
)
def test_wrong_pairs_are_refused(tmp_path, pairs, message):
    (tmp_path / 'empty.py').write_text('')
    text = STUDY.replace('[[plain, better], [plain, absent]]', pairs)
    (tmp_path / 'two.yml').write_text(text)
    with pytest.raises(StudyError, match=message):
        read_study(tmp_path / 'two.yml')


def test_the_mean_over_tasks_counts_tasks_alike(study):
    rng = np.random.default_rng(1)
    strata, units = [0] * 60 + [1] * 20, [*range(60), *range(60, 80)]
    first, second = 100.0 * (rng.random((1, 80)) < 0.5), 100.0 * rng.random((1, 80))
    records = dict(
        plain=[record(scores, units) for scores in first], better=[record(scores, units) for scores in second]
    )
    for found in records.values():
        for one in found:
            one['samples']['strata'] = strata
    (row,) = differences_of(study, records)
    change = second.mean(0) - first.mean(0)
    parts = change[:60], change[60:]
    assert row['difference'] == pytest.approx((parts[0].mean() + parts[1].mean()) / 2) and row['units'] == 80
    # Of two independent means the variances add: var(d) = (s1^2 / 60 + s2^2 / 20) / 4, and the ends are at 1.96 of it.
    spread = 1.96 * np.sqrt(parts[0].var() / 60 + parts[1].var() / 20) / 2
    ends = [row['difference'] - spread, row['difference'] + spread]
    assert [row['low'], row['high']] == pytest.approx(ends, abs=spread / 8)
