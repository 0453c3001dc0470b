"""The cache of the frozen encoder's vectors: the same training, faster; never a row of something else."""

import logging
import os

import pytest
import torch
from mmengine.runner import Runner

from tests.cached_runs import FILES, LOAD, TEXT, cached_config, noted, write_pictures
from tests.media import write_image
from vlpeft.datasets.feature_cache import Sources
from vlpeft.datasets.generators import seed_of
from vlpeft.models.backbones import cls_levels
from vlpeft.models.tasks import PerceptualLM
from vlpeft.registry import DATASETS

FLIP = dict(type='ClipRandomFlip', prob=0.5)


@pytest.fixture
def data(tmp_path):
    return write_pictures(tmp_path / 'data')


@pytest.fixture
def computed(monkeypatch):
    """Files that went through the encoder, per pass; vectors that came from a cache do not count."""
    batches, perceive = [], PerceptualLM.perceive

    def noting(self, inputs):
        if inputs.ndim > 3:
            batches.append(len(inputs))
        return perceive(self, inputs)

    monkeypatch.setattr(PerceptualLM, 'perceive', noting)
    return batches


@pytest.fixture
def lines(monkeypatch):
    """What the run's loggers say."""
    found = []
    monkeypatch.setattr(logging.Handler, 'handle', lambda self, record: found.append(record.getMessage()))
    return found


def train(config):
    runner = Runner.from_cfg(config)
    runner.train()
    return runner


def test_losses_are_identical_and_the_encoder_runs_once_for_each_file(data, computed):
    train(cached_config(data, 'plain'))
    assert sum(computed) == 2 * 2 * FILES
    computed.clear()
    train(cached_config(data, 'cached', cache={}))
    assert sum(computed) == FILES
    assert noted(cached_config(data, 'cached'))['losses'] == pytest.approx(
        noted(cached_config(data, 'plain'))['losses'], rel=1e-6
    )
    computed.clear()
    train(cached_config(data, 'again', cache={}))
    assert computed == []


def test_an_epoch_is_faster(tmp_path, capsys):
    data = write_pictures(tmp_path / 'large', size=(480, 640), files=24)
    encoder = dict(img_size=128)
    steps = [dict(type='ClipResize', size=128)]
    for name, cache in (('plain', None), ('cached', {})):
        train(cached_config(data, name, cache, steps=steps, batch_size=8, encoder=encoder, log_level='WARNING'))
    plain, cached = (noted(cached_config(data, name))['seconds'][1] for name in ('plain', 'cached'))
    with capsys.disabled():
        print(f'\n[an epoch of 48 captions: {plain:.2f} s, with cache {cached:.2f} s: {plain / cached:.1f} x]')
    assert cached < plain / 2


def test_a_run_that_was_killed_goes_on(data, computed, monkeypatch):
    perceive = PerceptualLM.perceive

    def killed(self, inputs):
        if len(computed) == 1 and inputs.ndim > 3:
            raise KeyboardInterrupt
        return perceive(self, inputs)

    with monkeypatch.context() as patch:
        patch.setattr(PerceptualLM, 'perceive', killed)
        with pytest.raises(KeyboardInterrupt):
            train(cached_config(data, 'killed', cache={}))
    assert computed == [5]
    train(cached_config(data, 'next', cache={}))
    assert sum(computed) == FILES


def test_rows_of_a_changed_file_are_not_used(data, computed, lines):
    train(cached_config(data, 'first', cache={}, epochs=1))
    write_image(data / '3.png', (40, 40), seed=99)
    computed.clear()
    train(cached_config(data, 'second', cache={}, epochs=1))
    assert computed == [1]
    assert any('rows of 1 files or views are of an earlier state' in line for line in lines)
    assert len(list((data / 'cache').glob('*'))) == 1


@pytest.mark.parametrize(
    'change, key',
    [
        (dict(randomness=dict(seed=8)), 'weights'),
        (dict(steps=[dict(type='ClipResize', size=16)]), 'transforms'),
        (
            dict(
                optim_wrapper=dict(
                    type='MixedPrecisionOptimWrapper',
                    optimizer=dict(type='AdamW', lr=0.02),
                    constructor='TrainableOptimWrapperConstructor',
                )
            ),
            'precision',
        ),
    ],
)
def test_another_encoder_transform_or_precision_gets_its_own_folder(data, computed, lines, change, key):
    train(cached_config(data, 'first', cache={}, epochs=1))
    (before,) = (data / 'cache').glob('*')
    content = {path: path.read_bytes() for path in before.iterdir()}
    computed.clear()
    train(cached_config(data, 'second', cache={}, epochs=1, **change))
    assert sum(computed) == FILES
    assert any(f'{before} is not used, it was made with other: {key}' in line for line in lines)
    assert content == {path: path.read_bytes() for path in before.iterdir()}
    assert len(list((data / 'cache').glob('*'))) == 2


def test_a_random_step_is_refused_by_name(data):
    with pytest.raises(ValueError, match='ClipRandomFlip draws at random.*views=n'):
        train(cached_config(data, 'run', cache={}, steps=[FLIP]))
    with pytest.raises(ValueError, match=r'ClipRandomFlip\(keep_sides=True\) looks at the texts'):
        train(cached_config(data, 'run2', cache=dict(views=2), steps=[dict(FLIP, keep_sides=True)]))


def test_views_are_fixed_and_seeded_and_all_are_drawn(data):
    runner = train(cached_config(data, 'run', cache=dict(views=8), steps=[FLIP], epochs=1))
    served, plain = (
        runner.train_dataloader.dataset.dataset,
        DATASETS.build(dict(type='JSONLCaption', ann_file=str(data / 'set.jsonl'), pipeline=[*LOAD, FLIP, *TEXT])),
    )
    plain.full_init()
    model, wanted = runner.model.eval(), []
    mean, std = (
        torch.tensor(values).view(3, 1, 1)
        for values in ((122.7709383, 116.7460125, 104.09373615), (68.5005327, 66.6321579, 70.32316305))
    )
    for view in range(8):
        torch.manual_seed(seed_of(f'{os.path.abspath(data / "4.png")}|-|{view}'))
        pixels = plain[8]['inputs']
        wanted.append(cls_levels(model.encoder, (pixels.float() - mean) / std, 3)[0])
    drawn = [served[8]['inputs'] for _ in range(40)]
    for vectors in drawn:
        assert any(torch.allclose(vectors, one, atol=1e-5) for one in wanted)
    # There are two flips; which of them a view is depends on the file's path.
    different = {tuple(round(value, 3) for value in one.flatten().tolist()) for one in drawn}
    assert len(different) == len({tuple(round(value, 3) for value in one.flatten().tolist()) for one in wanted})


def test_an_unreadable_file_is_replaced_as_without_a_cache(data):
    (data / '5.png').write_bytes(b'no picture')
    runner = train(cached_config(data, 'run', cache={}, epochs=1))
    assert list(runner.train_dataloader.dataset.unreadable.reasons) == [str(data / '5.png')]
    assert len(noted(cached_config(data, 'run'))['losses']) == 6


def test_reading_for_the_cache_draws_nothing_from_the_run(data):
    dataset = DATASETS.build(dict(type='JSONLCaption', ann_file=str(data / 'set.jsonl'), pipeline=[*LOAD, FLIP, *TEXT]))
    sources = Sources(dataset, views=2)
    before = torch.get_rng_state()
    first, again = sources[3][1], sources[3][1]
    assert torch.equal(torch.get_rng_state(), before) and torch.equal(first, again) and len(sources) == 2 * FILES
