"""Every method on every backbone keeps every promise of the contract, or says why it cannot stand there."""

import pytest

from tests.contract.cells import METHODS, REFUSED
from vlpeft.testing import SUBJECTS, check_cell
from vlpeft.testing.contract import ROWS

#: By default the slowest row is checked once for each backbone, with a method that acts in every branch.
COMPILED = 'bottleneck_parallel_o'
QUICK = [row for row in ROWS if row != 'compiles']


def check(method, subject, rows):
    cell = check_cell(METHODS[method], SUBJECTS[subject], rows)
    expected = REFUSED.get((method, subject))
    if expected is None:
        assert cell.refused is None, cell.refused
    else:
        assert expected in (cell.refused or 'it attaches')
    assert not cell.broken, '\n'.join(f'{row}: {fault}' for row, fault in cell.broken.items())


@pytest.mark.parametrize('subject', SUBJECTS)
@pytest.mark.parametrize('method', METHODS)
def test_cell(method, subject):
    check(method, subject, list(ROWS) if method == COMPILED else QUICK)


@pytest.mark.slow
@pytest.mark.parametrize('subject', SUBJECTS)
@pytest.mark.parametrize('method', [method for method in METHODS if method != COMPILED])
def test_compiled_cell(method, subject):
    check(method, subject, ['compiles'])


def test_the_size_of_the_matrix():
    cells = len(METHODS) * len(SUBJECTS)
    print(f'{cells} cells of {len(ROWS)} rows, {len(REFUSED)} of them refused')
    assert cells - len(REFUSED) >= 100
    assert all(method in METHODS and subject in SUBJECTS for method, subject in REFUSED)
