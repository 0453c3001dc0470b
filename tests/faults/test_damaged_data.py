"""Damaged pictures, clips, sounds and stored features end as clear unreadable samples or are read right.

``concealed``: the same shape with other values, in a format without checksums. ``shorter``: sounds of formats that
declare no length, without some of their pieces.
"""

import shutil
from collections import Counter
from functools import partial

import pytest

from tests.faults.damaged_files import DAMAGES, Case, cases, outcome, read, write_damaged, write_good
from vlpeft.datasets.checking.pool import Died, work_through

CLASSES = ('error', 'right', 'concealed', 'shorter', 'wrong', 'uncaught', 'death')
SEEDS = 10
SAMPLED = 11


@pytest.fixture(scope='module')
def good(tmp_path_factory):
    """Written in another process: what forks after encoders and decoders have started threads may hang."""
    ((_, files),) = work_through(write_good, [tmp_path_factory.mktemp('good')], workers=1)
    return files


def _read_good(item):
    return read(*item)


def _classify(good, whole, folder, case: Case):
    path = write_damaged(case, good, folder)
    try:
        return outcome(case, path, whole[case.format])
    finally:
        shutil.rmtree(path.parent)


def table(outcomes) -> str:
    """Cases by format, and by kind of damage, and class."""
    lines = [f'{"":>14}' + ''.join(f'{name:>10}' for name in CLASSES)]
    for part in ('format', 'damage'):
        names = dict.fromkeys(getattr(case, part) for case in outcomes)
        for name in names:
            counts = Counter(kind for case, (kind, _) in outcomes.items() if getattr(case, part) == name)
            lines.append(f'{name:>14}' + ''.join(f'{counts[kind]:>10}' for kind in CLASSES))
    totals = Counter(kind for kind, _ in outcomes.values())
    lines.append(f'{"all " + format(len(outcomes), ","):>14}' + ''.join(f'{totals[kind]:>10}' for kind in CLASSES))
    return '\n'.join(lines)


def check(good, folder, chosen):
    whole = {name: result for (name, _), result in work_through(_read_good, good.items(), workers=1)}
    outcomes = {}
    for case, result in work_through(partial(_classify, good, whole, folder), chosen, workers=2):
        if isinstance(result, Died):
            result = ('death', str(result))
        outcomes[case] = ('uncaught', str(result)) if isinstance(result, Exception) else result
    print('\n' + table(outcomes))
    bad = [
        f'{case}: {kind}, {detail}'
        for case, (kind, detail) in sorted(outcomes.items())
        if kind in ('wrong', 'uncaught', 'death')
    ]
    assert not bad, '\n'.join([f'{len(bad)} of {len(outcomes)}', *bad, table(outcomes)])
    return Counter(kind for kind, _ in outcomes.values())


@pytest.mark.filterwarnings('ignore')
def test_a_sample_of_damaged_files(good, tmp_path):
    totals = check(good, tmp_path, cases(SEEDS)[::SAMPLED])
    assert totals['error'] > 40 and totals['right'] > 10


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore')
def test_damaged_files(good, tmp_path):
    chosen = cases(SEEDS)
    assert len(chosen) >= 1500 and {case.damage for case in chosen} == set(DAMAGES)
    totals = check(good, tmp_path, chosen)
    assert totals['error'] > 600 and totals['right'] > 200
