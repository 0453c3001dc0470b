"""Every method on every backbone keeps every promise of the contract, or says why it cannot stand there."""

import pytest

from vlpeft.testing import SUBJECTS, check_cell
from vlpeft.testing.contract import ROWS

METHODS = dict(
    lora=dict(type='LoRA', rank=2, targets={}),
    bottleneck=dict(type='Bottleneck', bottleneck=3, targets={}),
    bottleneck_parallel_o=dict(type='Bottleneck', bottleneck=3, form='parallel', targets=dict(linears=['o'])),
    gate_large=dict(type='Gate', granularity='large', targets={}),
    gate_middle_y=dict(type='Gate', granularity='middle_y', targets={}),
    vlpet_middle_x=dict(type='VLPET', granularity='middle_x', bottleneck=4, targets={}, value_bottleneck=None),
    vlpet_small=dict(type='VLPET', granularity='small', bottleneck=4, targets={}, value_bottleneck=None),
    uniadapter=dict(type='UniAdapter', bottleneck=4, modalities=['vision', 'text'], share='none', init='normal'),
    composed=[
        dict(type='LoRA', rank=2, targets=dict(linears=['o'])),
        dict(type='Bottleneck', bottleneck=3, targets=dict(kinds=['ffn'])),
    ],
    epalm=dict(type='EPALM', levels=1, start=0, end=1),
)
REFUSED: dict[tuple[str, str], str] = {}


@pytest.mark.parametrize('subject', SUBJECTS)
@pytest.mark.parametrize('method', METHODS)
def test_cell(method, subject):
    cell = check_cell(METHODS[method], SUBJECTS[subject])
    expected = REFUSED.get((method, subject))
    if expected is None:
        assert cell.refused is None, cell.refused
    else:
        assert expected in (cell.refused or 'it attaches')
    assert not cell.broken, '\n'.join(f'{row}: {fault}' for row, fault in cell.broken.items())


def test_the_size_of_the_matrix():
    cells = len(METHODS) * len(SUBJECTS)
    print(
        f'{len(METHODS)} methods x {len(SUBJECTS)} backbones = {cells} cells, {len(REFUSED)} refused, {len(ROWS)} rows'
    )
    assert cells - len(REFUSED) >= 100
