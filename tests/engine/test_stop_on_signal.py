"""Signals at chosen moments of a run in this process: it stops there, and resumed it ends as if nothing had been."""

import multiprocessing
import signal
import time
from pathlib import Path

import pytest
from mmengine.runner import Runner

import tests.paced  # noqa: F401  registers its hooks
import vlpeft  # noqa: F401
from tests.integration.test_resume import assert_same, outcome
from tests.workspace import write_workspace
from vlpeft.engine.run_config import RunConfig
from vlpeft.engine.stopping import SIGNALS, Stopped
from vlpeft.engine.work_folder import newest_checkpoint

BATCHES = 5  # of an epoch, with two samples in a batch
WORKERS = {'train_dataloader.num_workers': 2, 'val_dataloader.num_workers': 1}
ACCUMULATED = {'optim_wrapper.accumulative_counts': 3}
BY_ITERATION = {
    'train_cfg': dict(type='IterBasedTrainLoop', max_iters=8, val_interval=4),
    'default_hooks.checkpoint.by_epoch': False,
    'default_hooks.checkpoint.interval': 4,
    'log_processor.by_epoch': False,
}
RARE = {'default_hooks.checkpoint.interval': 2}


@pytest.fixture(scope='module')
def config_path(tmp_path_factory):
    return write_workspace(tmp_path_factory.mktemp('workspace'))


def run(config_path: Path, folder: Path, hooks=(), options=None) -> Runner:
    config = RunConfig.read(config_path)
    options = dict(options or {})
    config.train_cfg = options.pop('train_cfg', config.train_cfg)
    config.merge_from_dict({'train_dataloader.batch_size': 2, **options})
    config.merge_from_dict(dict(work_dir=str(folder), experiment_name=f'{folder}{time.time_ns()}'))
    config.custom_hooks += list(hooks)
    if newest := newest_checkpoint(folder):
        config.merge_from_dict(dict(load_from=str(newest), resume=True))
    runner = Runner.from_cfg(config)
    runner.train()
    return runner


@pytest.fixture(scope='module')
def uninterrupted(config_path, tmp_path_factory):
    """Outcomes of whole runs by their settings, made when first asked for."""
    made = {}

    def of(options: dict) -> dict:
        if str(options) not in made:
            folder = tmp_path_factory.mktemp('whole') / 'run'
            run(config_path, folder, options=options)
            made[str(options)] = outcome(folder)
        return made[str(options)]

    return of


def case(name: str, *values, slow: bool = True):
    return pytest.param(*values, id=name, marks=pytest.mark.slow if slow else ())


@pytest.mark.parametrize(
    'number, at, step, options, stands_at',
    [
        case('within an epoch, with workers', signal.SIGTERM, 'step', 1, WORKERS, (2, 2, False), slow=False),
        case('last step of an epoch', signal.SIGINT, 'step', 4, {}, (5, 0, True)),
        case('first step of a cycle', signal.SIGUSR1, 'step', 5, ACCUMULATED, (8, 3, False)),
        case('last step of an epoch that is not saved', signal.SIGINT, 'step', 4, RARE, (5, 0, True), slow=False),
        case('after the last step of an epoch', signal.SIGTERM, 'epoch', 0, {}, (5, 0, True)),
        case('validation', signal.SIGUSR1, 'validation', 1, WORKERS, (5, 0, True)),
        case('validation of an epoch that is not saved', signal.SIGINT, 'validation', 1, RARE, (6, 1, False)),
        case('between the figures and the best file', signal.SIGTERM, 'validated', 1, {}, (5, 0, True)),
        case('last validation', signal.SIGTERM, 'validation', 2, {}, (10, 0, True)),
        case('last step of the run', signal.SIGTERM, 'step', 9, {}, (10, 0, True)),
        case('by iterations, before a validation', signal.SIGINT, 'step', 3, BY_ITERATION, (4, 4, True)),
        case('by iterations', signal.SIGINT, 'step', 5, BY_ITERATION, (6, 6, False), slow=False),
    ],
)
def test_stopped_and_resumed_equals_uninterrupted(
    config_path, uninterrupted, tmp_path, number, at, step, options, stands_at
):
    before = [signal.getsignal(each) for each in SIGNALS]
    try:
        with pytest.raises(Stopped) as stopped:
            run(config_path, tmp_path, [dict(type='SendSignal', number=int(number), at=at, step=step)], options)
    finally:
        for each, handler in zip(SIGNALS, before):  # what the end of a process makes needless
            signal.signal(each, handler)
    newest = newest_checkpoint(tmp_path)
    assert stopped.value.code == 75 and number.name in stopped.value.message and str(newest) in stopped.value.message
    left = outcome(tmp_path)[newest.name]
    assert (left['at'], left['position']['batch'], left['position']['validation_due']) == stands_at
    run(config_path, tmp_path, options=options)
    assert_same(outcome(tmp_path), uninterrupted(options))
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_a_signal_before_the_validation_of_a_resumed_run_loses_nothing(config_path, uninterrupted, tmp_path):
    """The run is stopped in its validation, and again in the one it owes."""
    before = [signal.getsignal(each) for each in SIGNALS]
    for _ in range(2):
        with pytest.raises(Stopped, match='75'):
            run(config_path, tmp_path, [dict(type='SendSignal', number=int(signal.SIGTERM), at='validation', step=1)])
        for each, handler in zip(SIGNALS, before):
            signal.signal(each, handler)
        assert newest_checkpoint(tmp_path).name == 'epoch_1.pth'
    run(config_path, tmp_path)
    assert_same(outcome(tmp_path), uninterrupted({}))


def test_persistent_workers_end_with_the_run(config_path, tmp_path):
    """Of training, of its validation and of a test: left to the garbage collection they would take seconds each."""
    options = {f'{name}_dataloader.persistent_workers': True for name in ('train', 'val', 'test')}
    runner = run(config_path, tmp_path, options={**WORKERS, 'test_dataloader.num_workers': 1, **options})
    assert runner.train_dataloader.num_workers == 2 and not multiprocessing.active_children()
    figures = runner.val_loop.run()
    assert len(multiprocessing.active_children()) == 1
    assert runner.test() == figures and not multiprocessing.active_children()


def test_a_run_that_cannot_save_leaves_signals_alone(config_path, tmp_path):
    options = {'default_hooks.checkpoint': dict(_delete_=True, type='CheckpointHook'), 'train_cfg.max_epochs': 1}
    # A test run in the background is given no Ctrl-C.
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(config_path, tmp_path, [dict(type='SendSignal', number=int(signal.SIGINT), at='step', step=1)], options)
    finally:
        signal.signal(signal.SIGINT, former)
