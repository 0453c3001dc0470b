"""Every family of image-text-to-text models x six methods keeps the promises of the contract, or says why it cannot.

Beside the contract's rows each cell trains: the model's own loss on the answers falls.
"""

import warnings

import pytest
import torch

import vlpeft
from tests import tiny_vlms
from tests.contract.vlm_cells import BROKEN, METHODS, REFUSED, UNUSED, VLMS, method, samples
from vlpeft.sites import SiteError
from vlpeft.testing import check_cell
from vlpeft.testing.contract import ROWS, Case

QUICK = [row for row in ROWS if row != 'compiles']
#: Families all of whose six cells are refused.
NEVER = {family for family in VLMS if all((name, family) in REFUSED for name in METHODS)}


def check(name, family, rows):
    cell = check_cell(method(name, family), VLMS[family], rows)
    expected = REFUSED.get((name, family))
    if expected is not None:
        assert expected in (cell.refused or 'it attaches')
        return
    assert cell.refused is None, cell.refused
    broken = dict(cell.broken)
    for row, fault in BROKEN.get((name, family), {}).items():
        if row in rows:
            assert fault in broken.pop(row, 'the row holds')
    assert not broken, '\n'.join(f'{row}: {fault}' for row, fault in broken.items())


@pytest.mark.parametrize('family', VLMS)
@pytest.mark.parametrize('name', METHODS)
def test_vlm_cell(name, family):
    check(name, family, QUICK)


@pytest.mark.slow
@pytest.mark.parametrize('family', VLMS)
@pytest.mark.parametrize('name', METHODS)
def test_compiled_vlm_cell(name, family):
    check(name, family, ['compiles'])


def losses(adapter, family, steps=8):
    """Of a model in training, on the samples of its family."""
    optimizer = torch.optim.AdamW(adapter.train().parameters(), lr=1e-2)
    found = []
    for _ in range(steps):
        loss = adapter(**samples(family)).loss
        found.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return found


@pytest.mark.parametrize('family', VLMS)
@pytest.mark.parametrize('name', METHODS)
def test_vlm_cell_trains(name, family):
    torch.manual_seed(0)
    try:
        adapter = vlpeft.attach(tiny_vlms.build(family), method(name, family))
    except SiteError:
        assert (name, family) in REFUSED
        return
    frozen = {key: value.clone() for key, value in adapter.model.state_dict().items()}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        found = losses(adapter, family)
    assert min(found[-2:]) < 0.998 * found[0], found
    assert all(torch.equal(value, frozen[key]) for key, value in adapter.model.state_dict().items())
    assert not [str(warning.message) for warning in caught if 'trained tensors' in str(warning.message)]


@pytest.mark.parametrize('family', UNUSED)
def test_a_block_that_nothing_reads_is_left_out_and_named(family):
    adapter = vlpeft.attach(tiny_vlms.build(family), dict(type='LoRA', rank=2, targets={}), check_after=0)
    assert not [name for name, _ in adapter.named_parameters() if 'vision_2_' in name]
    asked = dict(type='LoRA', rank=2, targets=dict(towers=['vision'], depths=[2]))
    message = r'depths of tower "vision" .*before the last block.* \[2\]; there are \[0, 1\]'
    with pytest.raises(SiteError, match=message):
        vlpeft.attach(tiny_vlms.build(family), asked)


class WithConnector(Case):
    """Without a method: the connector trains alone."""

    def attached(self, trained=True, dtype=None):
        adapter = vlpeft.attach(self.subject.model(dtype), None, trainable='connectors', check_after=0)
        if trained:
            with torch.no_grad():
                for param in adapter.parameters():
                    param.add_(torch.linspace(0.1, 0.5, param.numel(), dtype=param.dtype).view_as(param))
        return adapter


#: Families whose connector trains by its path alone.
BY_PATH = dict(glm4v=['model.visual.merger'], florence2=['model.multi_modal_projector'])


def connectors(family):
    """Where the model has what leads from the pictures to the texts."""
    own = dict(
        qwen3_vl=('model.visual.merger.', 'model.visual.deepstack_merger_list.'),
        ovis2=('model.vision_tower.head_linear.',),
    )
    kinds = dict(
        qwen=('model.visual.merger.',),
        glm=('model.visual.merger.',),
        idefics=('model.connector.',),
        smolvlm=('model.connector.',),
        blip2=('language_projection.',),
    )
    for start, paths in [*own.items(), *kinds.items()]:
        if family.startswith(start):
            return paths
    return ('model.multi_modal_projector.',)


@pytest.mark.parametrize('family', [family for family in VLMS if family not in NEVER])
def test_the_connector_alone(family):
    if family in BY_PATH:
        with pytest.raises(SiteError, match="parts='connectors' selects no parameter"):
            vlpeft.attach(tiny_vlms.build(family), None, trainable='connectors')
    trainable = BY_PATH.get(family, 'connectors')
    model = tiny_vlms.build(family)
    keys = list(model.state_dict())
    before = {key: value.clone() for key, value in model.state_dict().items()}
    wanted = {name: param.requires_grad for name, param in model.named_parameters()}
    adapter = vlpeft.attach(model, None, trainable=trainable, strict=True)
    names = set(adapter.part_roles)
    assert names == {name for name, _ in model.named_parameters() if name.startswith(connectors(family))}
    found = losses(adapter, family)
    assert min(found[-2:]) < 0.998 * found[0], found
    after = model.state_dict()
    assert list(after) == keys
    assert {name for name in after if not torch.equal(after[name], before[name])} == names
    adapter.detach()
    assert {name: param.requires_grad for name, param in model.named_parameters()} == wanted
    if family in BY_PATH:
        return
    case, broken = WithConnector(VLMS[family], {}), {}
    for row in ('recomputes', 'generates', 'batches'):
        try:
            ROWS[row](case)
        except AssertionError as error:
            broken[row] = str(error)
    assert set(broken) == set(BROKEN.get(('connector', family), {})) & {'generates'}, broken


def test_the_size_of_the_grid():
    cells = len(METHODS) * len(VLMS)
    live = [(name, family) for name in METHODS for family in VLMS if (name, family) not in REFUSED]
    print(f'{cells} cells of {len(ROWS)} rows, {cells - len(live)} of them refused')
    assert len({family for _, family in live}) >= 16 and len(live) >= 100
    assert set(BROKEN) <= set(live) | {('connector', 'gemma3')}
