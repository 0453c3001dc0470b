"""Fully sharded training on two gloo processes is training on one: losses, trained weights, answers, resuming."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from tests.cached_runs import cached_config, noted, write_pictures
from tests.sharded_runs import run, run_config, run_on_two
from tests.tiny_epalm import build_perceptual, perceptual_config, write_vocabulary
from vlpeft.checkpoint import Checkpoint
from vlpeft.checkpoint.trained import load_trained
from vlpeft.datasets.readers import PackedHDF5Reader
from vlpeft.registry import MODELS

FRAGMENT = 'configs/_base_/fsdp.py'
REPLACED = 'lm.model.decoder.layers.1.fc1.weight'


def strategy(**options) -> dict:
    """That of the fragment, in the weights' own type."""
    return dict(Config.fromfile(FRAGMENT).strategy, mixed_precision=None, **options)


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp('sharded')
    vocabulary = write_vocabulary(folder / 'opt')
    base = folder / 'base.pth'
    towers = build_perceptual(torch.float32).named_parameters()
    torch.save(dict(state_dict={name: param.detach() for name, param in towers if 'adapter' not in name}), base)
    model = perceptual_config(vocabulary=vocabulary, base_checkpoint=dict(source=str(base)))
    whole = MODELS.build(model).state_dict()
    torch.save(dict(state_dict={**whole, REPLACED: whole[REPLACED] + 1}), folder / 'whole.pth')

    def build(name, batch_size, **options):
        return run_config(folder, name, batch_size, model, **options)

    def resume(origin):
        return dict(resume=True, load_from=str(folder / origin / 'epoch_1.pth'))

    found = dict(
        one=build('one', 4),
        two=build('two', 2, strategy=strategy()),
        moved=build('moved', 2, strategy=strategy(), **resume('one')),
        back=build('back', 4, strategy=strategy(), **resume('two')),
        started=build('started', 2, epochs=1, strategy=strategy(), load_from=str(folder / 'whole.pth')),
        bf16=build('bf16', 2, strategy=dict(Config.fromfile(FRAGMENT).strategy)),
    )
    pictures = write_pictures(folder / 'pictures')
    found.update(
        plain=cached_config(pictures, 'plain'),
        cached=cached_config(pictures, 'cached', {}, batch_size=2, strategy=strategy()),
    )
    run(found['one'])
    run(found['plain'])
    run_on_two([found['two'], found['moved'], found['started'], found['bf16'], found['cached']])
    run(found['back'])
    return found


def saved(config, epoch=2):
    return torch.load(f'{config.work_dir}/epoch_{epoch}.pth', weights_only=False)


def test_losses_of_all_steps_are_those_of_one_process(runs):
    one, two = noted(runs['one']), noted(runs['two'])
    assert len(one['losses']) == 10 and one['losses'][-1] < one['losses'][0]
    assert two['losses'] == pytest.approx(one['losses'], rel=1e-5)
    # Gradients are clipped at 0.5.
    assert max(one['norms']) > 0.5 and two['norms'] == pytest.approx(one['norms'], rel=1e-4)


def test_checkpoints_hold_whole_trained_tensors_and_the_optimiser_as_of_one_process(runs):
    one, two = saved(runs['one']), saved(runs['two'])
    assert set(two['state_dict']) == set(one['state_dict'])
    assert all(key.startswith('adapter.') for key in two['state_dict'])
    for key, value in one['state_dict'].items():
        assert type(two['state_dict'][key]) is torch.Tensor
        torch.testing.assert_close(
            two['state_dict'][key], value, rtol=1e-3, atol=1e-4, msg=lambda text, key=key: f'{key}: {text}'
        )
    assert two['meta']['base'] == one['meta']['base']
    # Also where a validation wrote the file again, for its best score.
    for epoch in (1, 2):
        assert [saved(runs['two'], epoch)['meta'][count] for count in ('epoch', 'iter')] == [epoch, 5 * epoch]
    for index, state in one['optimizer']['state'].items():
        torch.testing.assert_close(two['optimizer']['state'][index], state, rtol=1e-3, atol=1e-5)


def test_answers_of_a_set_that_does_not_divide_are_those_of_one_process(runs):
    answers = noted(runs['two'])['answers']
    assert answers == noted(runs['one'])['answers'] and len(answers) == 5 and len(set(answers.values())) > 1


@pytest.mark.parametrize('name', ['moved', 'back'])
def test_a_run_resumes_on_another_number_of_processes(runs, name):
    assert noted(runs[name])['losses'] == pytest.approx(noted(runs['one'])['losses'][5:], rel=1e-5)


def test_frozen_weights_that_replace_the_base_s_are_saved_and_no_others(runs):
    state, trained = (saved(runs[name], 1)['state_dict'] for name in ('started', 'two'))
    assert set(state) == {REPLACED, *trained}
    base = MODELS.build(runs['one'].model).get_parameter(REPLACED)
    torch.testing.assert_close(state[REPLACED], base.detach() + 1)


def test_a_sharded_run_s_checkpoint_loads_without_any_runner(runs):
    model = MODELS.build(runs['one'].model)
    path = f'{runs["two"].work_dir}/epoch_2.pth'
    load_trained(model, Checkpoint.read(path))
    torch.testing.assert_close(
        dict(model.adapter.state_dict()),
        {key.removeprefix('adapter.'): value for key, value in saved(runs['two'])['state_dict'].items()},
    )


def test_bfloat16_stays_near_and_keeps_trained_weights_in_float32(runs):
    one, half = noted(runs['one'])['losses'], noted(runs['bf16'])['losses']
    assert half == pytest.approx(one, rel=0.05) and half != pytest.approx(one, rel=1e-4)
    assert {value.dtype for value in saved(runs['bf16'])['state_dict'].values()} == {torch.float32}


def test_two_sharded_processes_fill_one_cache_and_train_as_one_process_without(runs):
    cached, plain = (noted(runs[name]) for name in ('cached', 'plain'))
    assert cached['losses'] == pytest.approx(plain['losses'], rel=1e-5)
    folder = Path(runs['cached'].work_dir).parent / 'cache'
    assert [len(PackedHDF5Reader(str(part)).names()) for part in sorted(folder.glob('*/*.h5'))] == [6, 6]
