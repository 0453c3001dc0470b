"""No update is made from numbers that are not finite: what stops, what is left out, what is kept, what it costs."""

import functools
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import nn

from tests.bad_numbers import recorded
from tests.ports import free_port
from tests.processes import run_on_ranks
from tests.sharded_runs import run_config
from tests.tiny_epalm import EPALM, build_perceptual, perceptual_config, write_vocabulary
from tools.analysis_tools import replay_batch
from vlpeft.apis.build import build_model
from vlpeft.checkpoint import CheckpointError
from vlpeft.checkpoint.files import read_checkpoint
from vlpeft.datasets.generators import generator_states
from vlpeft.engine.bad_batch import BadBatch
from vlpeft.engine.finite import NonFiniteStepError
from vlpeft.engine.hooks import FiniteGuardHook, finite_guard
from vlpeft.engine.launch import build_runner, end_process_group
from vlpeft.engine.replay import first_nonfinite

#: The picture that overflows, and the module in which it does.
BAD, OVERFLOWS = 7, 'encoder.patch_embed.projection'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('guarded')
    write_vocabulary(folder / 'opt')
    towers = build_perceptual(torch.float32).named_parameters()
    state = {name: param.detach() for name, param in towers if 'adapter' not in name}
    # Norms make up for it, unless a picture is out of all bounds.
    state[OVERFLOWS + '.weight'] *= 1e4
    torch.save(dict(state_dict=state), folder / 'base.pth')
    return folder


def config_of(folder: Path, name: str, bad: int | None = None, guard=None, hooks=(), batch_size: int = 4, **overrides):
    """A run of 10 iterations in two epochs; picture ``bad`` overflows."""
    model = perceptual_config(vocabulary=str(folder / 'opt'), base_checkpoint=dict(source=str(folder / 'base.pth')))
    config = run_config(
        folder,
        name,
        batch_size,
        model,
        custom_hooks=[dict(type='CountUpdates'), dict(type='FreezeReportHook'), dict(type='EpochSeedHook'), *hooks],
    )
    config.default_hooks.finite_guard = dict(type='FiniteGuardHook', **(guard or {}))
    if bad is not None:
        config.train_dataloader.dataset = dict(type='OverflowingPictures', count=20, bad=bad)
    config.merge_from_dict(overrides)
    return config


def digests(folder) -> dict:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path(folder).glob('*.pth')}


def batches(config) -> list[BadBatch]:
    return [BadBatch.read(path) for path in sorted(Path(config.work_dir, 'bad_steps').glob('*_batch_*.pth'))]


@pytest.mark.parametrize('variant', ['plain', 'amp', 'by value', 'unclipped'])
def test_a_loss_that_is_not_finite_ends_the_run_before_the_update(folder, variant):
    options = dict(
        plain={}, amp={'optim_wrapper.type': 'MixedPrecisionOptimWrapper'}, unclipped={'optim_wrapper.clip_grad': None}
    )
    options['by value'] = {'optim_wrapper.clip_grad': dict(_delete_=True, type='value', clip_value=0.1)}
    config = config_of(folder, f'loss {variant}', bad=BAD, **options[variant])
    runner = build_runner(config)
    before = {}

    class NoteWeights(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            before.update(
                {name: param.detach().clone() for name, param in runner.model.named_parameters() if param.requires_grad}
            )

    runner.register_hook(NoteWeights())
    with pytest.raises(NonFiniteStepError) as caught:
        runner.train()
    (batch,) = batches(config)
    assert f'question_id {BAD}' in batch.samples and len(batch.samples) == 4
    stopped = runner.iter + 1
    assert recorded(runner).updates == list(range(stopped - 1)) and batch.iteration == stopped
    assert f'iteration {stopped}: loss is ' in str(caught.value) and f'question_id {BAD}' in str(caught.value)
    assert f'iter_{stopped}_batch_rank0.pth' in str(caught.value)
    weights = read_checkpoint(f'{config.work_dir}/bad_steps/iter_{stopped}.pth')['state_dict']
    assert set(weights) == set(before)
    torch.testing.assert_close(weights, before, rtol=0, atol=0)
    assert all(value.isfinite().all() for value in weights.values())


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
@pytest.mark.parametrize('clip', [None, dict(max_norm=0.5), dict(_delete_=True, type='value', clip_value=0.1)])
def test_gradients_that_are_not_finite_end_the_run_though_losses_are(folder, clip, value):
    config = config_of(
        folder,
        f'gradient {clip} {value}',
        hooks=[dict(type='SpoilGradient', iterations=[6], value=value)],
        **{'optim_wrapper.clip_grad': clip},
    )
    runner = build_runner(config)
    with pytest.raises(NonFiniteStepError, match=r'iteration 7: the gradient norm is (nan|inf) \(adapter\.'):
        runner.train()
    assert recorded(runner).updates == list(range(6))
    # The first epoch's checkpoints are as good as they were.
    names = digests(config.work_dir)
    assert set(names) == {'epoch_1.pth', 'best_toy_count_epoch_1.pth'}
    assert all(
        value.isfinite().all()
        for name in names
        for value in read_checkpoint(f'{config.work_dir}/{name}')['state_dict'].values()
    )


def test_a_norm_beyond_float32_is_not_finite_though_each_gradient_is(folder):
    config = config_of(folder, 'norm', hooks=[dict(type='SpoilGradient', iterations=[2], value=1e30)])
    with pytest.raises(NonFiniteStepError, match='iteration 3: the gradient norm is inf;'):
        build_runner(config).train()


def test_bad_steps_are_left_out_and_logged_until_there_are_too_many(folder):
    """A run that leaves out two updates ends with the weights of one that never had them."""
    config = config_of(
        folder, 'skipping', guard=dict(max_bad_steps=2), hooks=[dict(type='SpoilGradient', iterations=[3, 8])]
    )
    runner = build_runner(config)
    runner.train()
    assert recorded(runner).updates == [0, 1, 2, 4, 5, 6, 7, 9]
    (log,) = Path(config.work_dir).glob('*/*.log')
    lines = [line for line in log.read_text().splitlines() if 'is left out' in line]
    assert [re.search(r'\((\d of max_bad_steps=2)\)\. iteration (\d+):', line).groups() for line in lines] == [
        ('1 of max_bad_steps=2', '4'),
        ('2 of max_bad_steps=2', '9'),
    ]
    assert [batch.iteration for batch in batches(config)] == [4, 9]
    state = runner.optim_wrapper.optimizer.state_dict()['state']
    assert {int(entry['step']) for entry in state.values()} == {8}
    # The count is the run's, not the process's: the resumed half allows one less.
    again = config_of(
        folder,
        'skipping',
        guard=dict(max_bad_steps=2),
        resume=True,
        load_from=f'{config.work_dir}/epoch_1.pth',
        hooks=[dict(type='SpoilGradient', iterations=[6, 8])],
    )
    with pytest.raises(NonFiniteStepError, match=r'max_bad_steps=2\)\. iteration 9'):
        build_runner(again).train()


def test_the_guard_changes_nothing_of_a_run_that_is_finite(folder):
    states = []
    for name in ('guarded', 'bare'):
        config = config_of(folder, name)
        if name == 'bare':
            config.default_hooks.pop('finite_guard')
        runner = build_runner(config)
        runner.train()
        states.append(read_checkpoint(f'{config.work_dir}/epoch_2.pth'))
        losses, _ = runner.message_hub.get_scalar('train/loss').data
        states[-1]['losses'] = losses.tolist()
        assert not isinstance(runner.optim_wrapper.step, functools.partial)
        assert 'parse_losses' not in vars(runner.model)
    for key in ('state_dict', 'optimizer', 'losses'):
        torch.testing.assert_close(states[0][key], states[1][key], rtol=0, atol=0)
    assert len(states[0]['losses']) == 10


@pytest.mark.parametrize('where', ['first', 'last'])
def test_with_accumulated_gradients_the_batch_is_named_that_was_bad(folder, where):
    """Updates follow iterations 2, 4, 5 of each epoch of 5 batches."""
    iteration = dict(first=5, last=6)[where]
    config = config_of(
        folder,
        f'accumulating {where}',
        hooks=[dict(type='SpoilGradient', iterations=[iteration])],
        **{'optim_wrapper.accumulative_counts': 2},
    )
    runner = build_runner(config)
    with pytest.raises(NonFiniteStepError, match=f'iteration {iteration + 1}: the gradient norm is nan'):
        runner.train()
    assert recorded(runner).updates == [1, 3, 4]
    assert [batch.iteration for batch in batches(config)] == [iteration + 1]


def scaled(runner, scale: float = 2.0**16):
    """Gives a run the loss scaling of float16, which needs no GPU."""
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.optim_wrapper.loss_scaler = torch.amp.GradScaler('cpu', enabled=True, init_scale=scale)
    return runner


def test_a_loss_scaler_may_leave_out_updates_but_not_for_ever(folder):
    amp = {'optim_wrapper.type': 'MixedPrecisionOptimWrapper'}
    some = scaled(
        build_runner(
            config_of(
                folder,
                'some overflows',
                hooks=[dict(type='SpoilGradient', iterations=[0, 1, 5], value=float('inf'))],
                **amp,
            )
        )
    )
    some.train()
    assert recorded(some).updates == [2, 3, 4, 6, 7, 8, 9]
    assert some.optim_wrapper.loss_scaler.get_scale() == 2.0**13
    every = config_of(
        folder, 'overflows', hooks=[dict(type='SpoilGradient', iterations=range(2, 100), value=float('inf'))], **amp
    )
    every.train_cfg.max_epochs = 5
    runner = scaled(build_runner(every))
    limit = finite_guard.MAX_OVERFLOWS
    with pytest.raises(
        NonFiniteStepError,
        match=f'iteration {2 + limit + 1}: the gradients overflow in {limit + 1} '
        'updates in a row, at last with loss scale 1;',
    ):
        runner.train()
    assert recorded(runner).updates == [0, 1] and batches(every)[0].loss_scale == 1


def test_a_bad_loss_is_no_business_of_the_loss_scaler(folder):
    config = config_of(folder, 'scaled loss', bad=BAD, **{'optim_wrapper.type': 'MixedPrecisionOptimWrapper'})
    with pytest.raises(NonFiniteStepError, match='loss is nan'):
        scaled(build_runner(config)).train()
    (batch,) = batches(config)
    assert (batch.autocast, batch.loss_scale) == ('bfloat16', 2.0**16)


def test_weights_that_are_not_finite_are_never_saved(folder):
    config = config_of(folder, 'weights', hooks=[dict(type='SpoilWeight', iteration=10, priority='HIGHEST')])
    runner = build_runner(config)
    kept = {}

    class Copy(Hook):
        def before_train_epoch(self, runner):
            kept.update(digests(runner.work_dir))

    runner.register_hook(Copy())
    with pytest.raises(
        CheckpointError,
        match=r'no checkpoint of epoch 2, iteration 10 is written.* 1 trained tensors '
        r'are not finite: adapter\.',
    ):
        runner.train()
    assert digests(config.work_dir) == kept and set(kept) == {'epoch_1.pth', 'best_toy_count_epoch_1.pth'}


@pytest.mark.parametrize('value', ['1', -1, 1.5])
def test_a_number_of_steps_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match='max_bad_steps must be an integer of 0 or more'):
        FiniteGuardHook(max_bad_steps=value)


def test_the_replay_names_the_module_of_the_run(folder, capsys):
    config = config_of(folder, 'replayed', bad=BAD)
    config.dump(f'{folder}/replayed.py')
    runner = build_runner(config)
    with pytest.raises(NonFiniteStepError):
        runner.train()
    iteration = runner.iter + 1
    stem = f'{config.work_dir}/bad_steps/iter_{iteration}'
    arguments = [f'{folder}/replayed.py', f'{stem}.pth', f'{stem}_batch_rank0.pth', '--device', 'cpu']
    assert replay_batch.main(arguments) == 1
    *_, reason, samples, last = capsys.readouterr().out.splitlines()
    assert f'iteration {iteration}, process 0 of 1: loss is nan' in reason and f'question_id {BAD}' in samples
    assert last.startswith(f'first number that is not finite in the forward pass: {OVERFLOWS} (Conv2d): output has ')
    assert last.endswith('its inputs are finite')
    # A batch without that picture is fine.
    batch = BadBatch.read(arguments[2])
    data = batch.data_batch
    good = [i for i, sample in enumerate(data['data_samples']) if sample.question_id != BAD]
    assert len(good) == 3
    batch._replace(
        data_batch=dict(inputs=data['inputs'][good], data_samples=[data['data_samples'][i] for i in good])
    ).write(f'{stem}_fine.pth')
    assert replay_batch.main([*arguments[:2], f'{stem}_fine.pth', '--device', 'cpu']) == 0
    assert 'all numbers are finite' in capsys.readouterr().out


def test_a_replayed_batch_has_the_losses_and_random_numbers_of_the_run(folder):
    """With dropout the same loss comes again only from the same generators."""
    config = config_of(folder, 'random', hooks=[dict(type='SpoilGradient', iterations=[4])])
    config.model.adapter = [EPALM, dict(type='LoRA', rank=2, dropout=0.5, targets=dict(towers=['lm']))]
    runner = build_runner(config)
    seen = noted_losses(runner.model)
    with pytest.raises(NonFiniteStepError):
        runner.train()
    (batch,) = batches(config)
    model = build_model(config, Path(config.work_dir, 'bad_steps/iter_5.pth'), True, 'cpu')
    again = noted_losses(model)
    assert first_nonfinite(model, batch) is None and first_nonfinite(model, batch._replace(generators={})) is None
    assert len(seen) == 5 and again[0] == seen[-1] and again[1] != seen[-1]


def noted_losses(model) -> list:
    """The losses of every forward pass from now on."""
    seen = []
    model.register_forward_hook(
        lambda module, args, output: seen.append({name: float(loss.detach()) for name, loss in output.items()})
    )
    return seen


def test_a_gradient_that_is_not_finite_is_found_behind_finite_losses():
    """d√x/dx at 0."""

    class Root(nn.Module):
        def forward(self, x):
            return x.sqrt()

    class Model(BaseModel):
        def __init__(self):
            super().__init__()
            self.scale, self.root = nn.Linear(2, 2, bias=False), Root()
            nn.init.zeros_(self.scale.weight)

        def forward(self, inputs, data_samples, mode='loss'):
            return dict(loss=self.root(self.scale(torch.stack(inputs))).sum())

    batch = BadBatch(1, 0, 1, '', [], dict(inputs=[torch.ones(2)], data_samples=[]), {})
    assert first_nonfinite(Model(), batch).startswith(
        'in the backward pass: the gradient that reaches the output of scale (Linear): has 2 of 2 numbers'
    )


def test_a_saved_batch_comes_back_as_it_was_and_runs_nothing(tmp_path):
    sample = BaseDataElement(
        metainfo=dict(name='a.jpg', size=(3, 4)),
        text='x',
        weight=0.5,
        none=None,
        ids=torch.arange(3),
        gold=['a', dict(b=1)],
        score=np.float32(2.5),
        row=np.arange(2.0),
    )
    batch = BadBatch(
        3,
        1,
        2,
        'loss is nan',
        ["name 'a.jpg'"],
        dict(inputs=[torch.ones(2, dtype=torch.bfloat16)], data_samples=[sample]),
        generator_states(),
    )
    batch.write(tmp_path / 'b.pth')
    found = torch.load(tmp_path / 'b.pth', weights_only=True)
    assert found['data_batch']['data_samples'][0]['data_sample']['fields']['score'] == 2.5
    back = BadBatch.read(tmp_path / 'b.pth')
    again = back.data_batch['data_samples'][0]
    assert again.metainfo == sample.metainfo and set(again.keys()) == set(sample.keys())
    assert (again.text, again.weight, again.none, again.gold) == (sample.text, 0.5, None, sample.gold)
    assert torch.equal(again.ids, sample.ids) and np.array_equal(again.row, sample.row)
    assert torch.equal(back.data_batch['inputs'][0], batch.data_batch['inputs'][0])
    assert back.generators['python'] == batch.generators['python']
    with pytest.raises(CheckpointError, match='is no batch that training saved: it lacks autocast, data_batch'):
        torch.save(dict(iteration=1), tmp_path / 'c.pth')
        BadBatch.read(tmp_path / 'c.pth')


def _in_group(rank: int, port: int, configs: list, out: str) -> None:
    import os

    torch.set_num_threads(1)
    lines = []
    for number, config in enumerate(configs):
        os.environ.update(
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE='2',
            MASTER_ADDR='127.0.0.1',
            MASTER_PORT=str(port + number),
            CUDA_VISIBLE_DEVICES='',
        )
        runner = build_runner(Config(config, format_python_code=False))
        try:
            runner.train()
            lines.append((recorded(runner).updates, 'none'))
        except (NonFiniteStepError, CheckpointError) as error:
            lines.append((recorded(runner).updates, str(error)))
        end_process_group()
    torch.save(lines, f'{out}{rank}.pt')


@pytest.fixture(scope='module')
def grouped(folder):
    """Runs on two processes, replicated and sharded: config, and (updates, error) of both."""
    sharded = dict(type='FullyShardedStrategy', mixed_precision=None)
    configs = {}
    for kind, options in dict(ddp={}, fsdp=dict(strategy=sharded)).items():

        def add(name, **more):
            configs[kind, name] = config_of(folder, f'{kind} {name}', batch_size=2, **{**more, **options})

        add('loss', bad=BAD)
        add('gradient', hooks=[dict(type='SpoilGradient', iterations=[6], rank=1)])
        add('left out', bad=BAD, guard=dict(max_bad_steps=2))
        add('accumulated', bad=BAD, **{'optim_wrapper.accumulative_counts': 2})
        add('weights', hooks=[dict(type='SpoilWeight', iteration=10, priority='HIGHEST')])
    out = str(folder / 'group')
    given = [{**config.to_dict(), 'launcher': 'pytorch'} for config in configs.values()]
    run_on_ranks(_in_group, free_port(), given, out)
    found = [torch.load(f'{out}{rank}.pt') for rank in (0, 1)]
    return {key: (config, [lines[number] for lines in found]) for number, (key, config) in enumerate(configs.items())}


KINDS = pytest.mark.parametrize('kind', ['ddp', 'fsdp'])


@KINDS
def test_all_processes_stop_together_at_the_batch_of_one(grouped, kind):
    config, ((updates, error), other) = grouped[kind, 'loss']
    assert other == (updates, error) and 'training stops' in error
    (batch,) = batches(config)
    assert f'question_id {BAD}' in batch.samples and len(batch.samples) == 2
    assert f'iteration {batch.iteration}, process {batch.rank}: loss is nan' in error
    assert updates == list(range(batch.iteration - 1))
    # Whole tensors, of sharded runs too.
    weights = read_checkpoint(f'{config.work_dir}/bad_steps/iter_{batch.iteration}.pth')['state_dict']
    assert {type(value) for value in weights.values()} == {torch.Tensor}
    trained = {name: param.shape for name, param in build_perceptual().named_parameters() if 'adapter' in name}
    assert {name: value.shape for name, value in weights.items()} == trained


@KINDS
def test_all_processes_stop_at_the_gradients_of_one(grouped, kind):
    config, found = grouped[kind, 'gradient']
    assert found[0] == found[1] and found[0][0] == list(range(6))
    assert 'iteration 7, process 0: the gradient norm is' in found[0][1]
    assert 'iteration 7, process 1: the gradient norm is' in found[0][1]
    assert [batch.rank for batch in batches(config)] == [0, 1]


@KINDS
def test_all_processes_leave_out_the_same_update(grouped, kind):
    """The picture comes once in each epoch."""
    config, found = grouped[kind, 'left out']
    bad = [batch.iteration - 1 for batch in batches(config)]
    assert len(bad) == 2 and bad[0] < 5 <= bad[1]
    assert found[0] == found[1] == ([step for step in range(10) if step not in bad], 'none')
    for name in ('epoch_2.pth', 'best_toy_count_epoch_1.pth'):
        state = read_checkpoint(f'{config.work_dir}/{name}')['state_dict']
        assert state and all(value.isfinite().all() for value in state.values())


@KINDS
def test_of_accumulated_batches_of_all_processes_the_bad_one_is_named(grouped, kind):
    config, found = grouped[kind, 'accumulated']
    assert found[0] == found[1]
    (batch,) = batches(config)
    assert f'question_id {BAD}' in batch.samples
    assert f'iteration {batch.iteration}, process {batch.rank}: loss is nan' in found[0][1]
    ends = (2, 4, 5)
    assert found[0][0] == [end - 1 for end in ends if end < batch.iteration]


@KINDS
def test_all_processes_refuse_to_save_bad_weights(grouped, kind):
    config, found = grouped[kind, 'weights']
    assert found[0] == found[1] and 'no checkpoint of epoch 2' in found[0][1]
    assert set(digests(config.work_dir)) == {'epoch_1.pth', 'best_toy_count_epoch_1.pth'}
