"""VeRA: what is shared, what is drawn, what files hold."""

import math

import pytest
import torch
from safetensors.torch import load_file

import vlpeft
from vlpeft.testing import SUBJECTS
from vlpeft.testing.subjects import randomise

CONFIG = dict(type='VeRA', rank=8, targets=dict(linears=['q', 'fc1']))


def attach(**options):
    return vlpeft.attach(SUBJECTS['bart'].model(), dict(CONFIG, **options))


def test_it_starts_at_the_base_and_trains_vectors_alone():
    subject = SUBJECTS['bart']
    bare = subject.run(subject.model().requires_grad_(False))
    adapter = attach()
    assert torch.equal(subject.run(adapter), bare)
    # 6 queries (16 to 16) and 4 FFNs (16 to 24): b of each output, d of the rank.
    counts = adapter.counts()
    assert counts['trainable'] == 6 * (16 + 8) + 4 * (24 + 8)
    assert counts['by_role']['frozen_projection'] == 8 * 16 + 24 * 8
    trained = [name for name, param in adapter.named_parameters() if param.requires_grad]
    assert trained and not any('projection' in name for name in trained)


def test_one_pair_of_matrices_serves_all_maps_and_is_uniform():
    method = vlpeft.attach(SUBJECTS['bart'].model(), dict(CONFIG, rank=400)).sets['default']
    down, up = method.projection.down, method.projection.up
    assert all(unit.shared[0] is method.projection for unit in method.layers.values())
    for matrix, fan in ((down, 16), (up, 400)):
        bound = math.sqrt(6 / fan)
        assert 0.98 * bound < matrix.abs().max() <= bound
        assert abs(matrix.var().item() / (bound**2 / 3) - 1) < 0.05


def test_seeds():
    first, same, other = (attach(seed=seed).sets['default'].projection.down for seed in (4, 4, 5))
    assert torch.equal(first, same) and not torch.allclose(first, other)
    model = SUBJECTS['bart'].model()
    state = torch.random.get_rng_state()
    vlpeft.attach(model, CONFIG)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize('is_saved', [True, False])
def test_files_hold_the_matrices_or_the_seed(is_saved, tmp_path):
    adapter = attach(seed=6, save_projection=is_saved)
    with torch.no_grad():
        for unit in adapter.sets['default'].layers.values():
            randomise(unit, seed=1)
    adapter.save(tmp_path)
    held = [key for key in load_file(tmp_path / 'adapter_model.safetensors') if 'projection' in key]
    assert held == (['adapter.projection.down', 'adapter.projection.up'] if is_saved else [])
    torch.manual_seed(3)
    again = vlpeft.load_adapter(SUBJECTS['bart'].model(), tmp_path)
    subject = SUBJECTS['bart']
    assert torch.equal(subject.run(again), subject.run(adapter))
    assert torch.equal(again.sets['default'].projection.up, adapter.sets['default'].projection.up)


def test_drawn_numbers_do_not_depend_on_format_or_place():
    with torch.device('meta'):
        assert attach_on_meta().sets['default'].projection.down.is_meta
    single = vlpeft.attach(SUBJECTS['bart'].model(torch.float32), CONFIG).sets['default'].projection.down
    assert torch.equal(attach().sets['default'].projection.down.float(), single)


def attach_on_meta():
    return vlpeft.attach(SUBJECTS['bart'].build(), CONFIG)


def test_options_that_are_none():
    with pytest.raises(ValueError, match='VeRA: d_init=0; b starts at zero, so neither would ever get a gradient'):
        attach(d_init=0)
    with pytest.raises(ValueError, match='rank=2.5; it is an integer'):
        attach(rank=2.5)


def test_a_first_step_is_no_reason_for_a_warning(recwarn):
    """d waits for b, which starts at zero."""
    adapter = vlpeft.attach(SUBJECTS['bart'].model(), CONFIG, strict=True)
    optimizer = torch.optim.SGD(adapter.parameters(), lr=0.1)
    for _ in range(3):
        SUBJECTS['bart'].run(adapter).square().sum().backward()
        optimizer.step()
    assert not [warning for warning in recwarn if 'gradient' in str(warning.message)]
