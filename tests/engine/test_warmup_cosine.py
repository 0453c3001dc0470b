"""eP-ALM's schedules: the published rates, groups that keep theirs, short epochs and resuming."""

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn

import vlpeft  # noqa: F401
from vlpeft.registry import PARAM_SCHEDULERS

RECIPES = Path(__file__).parents[2] / 'configs/epalm'
IMAGES, VIDEOS, SOUNDS, LARGE = (
    'epalm_opt-2.7b_vit-b',
    'epalm_opt-2.7b_timesformer',
    'epalm_opt-2.7b_ast',
    'epalm-ptl_opt-6.7b_vit-l',
)
LENGTH = 450
CONNECTOR = {
    'adapter.connector.0.weight',
    'adapter.connector.0.bias',
    'adapter.connector.1.weight',
    'adapter.connector.1.bias',
}
BIASES = {
    'adapter.connector.0.bias',
    'adapter.connector.1.bias',
    'adapter.prompt.mlp.0.bias',
    'adapter.prompt.mlp.2.bias',
}


class Model(BaseModel):
    """The names of eP-ALM's parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.lm = nn.Linear(2, 2).requires_grad_(False)
        self.adapter = nn.Module()
        self.adapter.connector = nn.ModuleList(nn.Linear(2, 2) for _ in range(2))
        self.adapter.prompt = nn.Module()
        self.adapter.prompt.table = nn.Parameter(torch.ones(3, 2))
        self.adapter.prompt.mlp = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2))

    def forward(self, inputs, data_samples=None, mode='loss'):
        return dict(loss=sum(param.square().sum() for param in self.adapter.parameters()) * inputs[0].sum())


class Rates(Hook):
    """The rates that a run trains with, iteration by iteration: a connector's and the prompt table's."""

    def __init__(self) -> None:
        self.found = []

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        names = {id(param): name for name, param in runner.model.named_parameters()}
        rates = {names[id(group['params'][0])]: group['lr'] for group in runner.optim_wrapper.optimizer.param_groups}
        self.found.append((rates['adapter.connector.0.weight'], rates['adapter.prompt.table']))


def on_any_device(config: Config) -> None:
    if config.optim_wrapper.get('dtype') == 'float16':
        config.optim_wrapper.dtype = 'bfloat16'


class Run:
    """A recipe's optimiser and schedule, built as the runner builds them."""

    def __init__(self, name: str, length: int = LENGTH) -> None:
        self.config = Config.fromfile(RECIPES / f'{name}.py', format_python_code=False)
        self.model = Model()
        self.epochs, self.length = self.config.train_cfg.max_epochs, length
        on_any_device(self.config)
        with DefaultScope.overwrite_default_scope('vlpeft'):
            self.wrapper = build_optim_wrapper(self.model, self.config.optim_wrapper)
            self.scheduler = PARAM_SCHEDULERS.build(
                dict(self.config.param_scheduler), default_args=dict(optimizer=self.wrapper, epoch_length=length)
            )

    def groups(self) -> dict:
        names = {id(param): name for name, param in self.model.named_parameters()}
        return {names[id(param)]: group for group in self.wrapper.optimizer.param_groups for param in group['params']}

    def rates(self) -> dict:
        return {name: group['lr'] for name, group in self.groups().items()}

    def step(self, count: int = 1) -> None:
        self.wrapper.step()
        for _ in range(count):
            self.scheduler.step()

    def by_iteration(self, iterations, of: str) -> list[float]:
        """Rates of a parameter at ascending iterations."""
        found, now = [], 0
        for iteration in iterations:
            self.step(iteration - now)
            now = iteration
            found.append(self.rates()[of])
        return found


def law(iteration, base, start, low, epochs, length):
    """The release's: a warm-up in the first epoch, after each hundredth iteration, then a cosine set once an epoch."""
    if iteration < length:
        past = [j for j in range(5) if iteration > 100 * j]
        return start + (past[-1] if past else 0) * (base - start) / 4
    return low + 0.5 * (base - low) * (1 + math.cos(math.pi * (iteration // length) / epochs))


@pytest.mark.parametrize(
    'name, epochs, expected',
    [
        (f'{IMAGES}_vqav2', (1, 2, 3, 6, 7), (1.9277e-5, 1.7218e-5, 1.4135e-5, 3.7825e-6, 1.7231e-6)),
        (f'{LARGE}_vqav2', (1, 34), (1.99618e-4, 1.03824e-5)),
    ],
)
def test_the_published_rates(name, epochs, expected):
    iterations = [epoch * LENGTH + offset for epoch in epochs for offset in (0, LENGTH - 1)]
    found = Run(name).by_iteration(iterations, 'adapter.connector.1.weight')
    assert found[0::2] == found[1::2] == pytest.approx(expected, rel=5e-5)


@pytest.mark.parametrize(
    'iteration, rate',
    [
        (0, 1e-5),
        (1, 1e-5),
        (100, 1e-5),
        (101, 1.25e-5),
        (200, 1.25e-5),
        (201, 1.5e-5),
        (301, 1.75e-5),
        (400, 1.75e-5),
        (401, 2e-5),
        (449, 2e-5),
    ],
)
def test_the_warm_up_has_four_steps_after_every_hundredth_iteration(iteration, rate):
    assert Run(f'{IMAGES}_vqav2').by_iteration([iteration], 'adapter.connector.0.bias') == [pytest.approx(rate)]


@pytest.mark.parametrize(
    'name, base, prompt, start, low',
    [
        (f'{IMAGES}_vqav2', 2e-5, 1e-5, 1e-5, 1e-6),
        (f'{VIDEOS}_msrvtt-qa', 2e-5, 1e-5, 1e-5, 1e-6),
        (f'{SOUNDS}_audiocaps', 2e-5, 1e-5, 1e-5, 1e-6),
        (f'{LARGE}_vqav2', 2e-4, 1e-3, 1e-4, 1e-5),
    ],
)
def test_as_meant_both_groups_are_scheduled_each_from_its_own_rate(name, base, prompt, start, low):
    run = Run(name)
    assert run.rates().keys() == {param for param, _ in run.model.named_parameters() if param.startswith('adapter')}
    assert {group['weight_decay'] for group in run.groups().values()} == {0.02}
    now = 0
    for iteration in (0, 250, 420, LENGTH, 2 * LENGTH + 5):
        run.step(iteration - now)
        now = iteration
        for param, rate in run.rates().items():
            own = base if param in CONNECTOR else prompt
            assert rate == pytest.approx(law(iteration, own, start, low, run.epochs, LENGTH)), (iteration, param)


@pytest.mark.parametrize(
    'name, base, prompt, start, low',
    [
        (f'{IMAGES}_vqav2_released', 2e-5, 1e-5, 1e-5, 1e-6),
        (f'{VIDEOS}_msrvtt-qa_released', 2e-5, 1e-5, 1e-5, 1e-6),
        (f'{LARGE}_gqa_released', 2e-4, 1e-3, 1e-4, 1e-5),
    ],
)
def test_released_question_answering_schedules_the_connectors_alone(name, base, prompt, start, low):
    run = Run(name)
    assert {group['weight_decay'] for group in run.groups().values()} == {0.02}
    for iteration in (0, LENGTH, 2 * LENGTH):
        for param, rate in run.rates().items():
            expected = law(iteration, base, start, low, run.epochs, LENGTH) if param in CONNECTOR else prompt
            assert rate == pytest.approx(expected), (iteration, param)
        run.step(LENGTH)


@pytest.mark.parametrize(
    'name, base, start, low',
    [
        (f'{IMAGES}_coco-caption_released', 2e-5, 1e-5, 1e-6),
        (f'{VIDEOS}_msrvtt-caption_released', 2e-5, 1e-5, 1e-6),
        (f'{SOUNDS}_audiocaps_released', 2e-5, 1e-5, 1e-6),
        (f'{LARGE}_coco-caption_released', 2e-4, 1e-4, 1e-5),
    ],
)
def test_released_captioning_schedules_the_biases_alone_and_does_not_decay_them(name, base, start, low):
    run = Run(name)
    assert {param for param, group in run.groups().items() if group['weight_decay'] == 0} == BIASES
    assert {group['weight_decay'] for param, group in run.groups().items() if param not in BIASES} == {0.02}
    for iteration in (0, LENGTH, 2 * LENGTH):
        for param, rate in run.rates().items():
            expected = law(iteration, base, start, low, run.epochs, LENGTH) if param in BIASES else base
            assert rate == pytest.approx(expected), (iteration, param)
        run.step(LENGTH)


def test_a_first_epoch_too_short_for_the_warm_up_ends_it():
    run = Run(f'{IMAGES}_vqav2', length=8)
    rates = run.by_iteration(range(64), 'adapter.connector.0.weight')
    assert rates == pytest.approx([law(iteration, 2e-5, 1e-5, 1e-6, 8, 8) for iteration in range(64)])
    assert rates[7:9] == pytest.approx([1e-5, 1.9277e-5], rel=5e-5)


def test_a_resumed_run_goes_on_exactly():
    whole, first, resumed = (Run(f'{IMAGES}_vqav2_released') for _ in range(3))
    whole.step(1000)
    first.step(700)
    resumed.wrapper.load_state_dict(first.wrapper.state_dict())
    resumed.scheduler.load_state_dict(first.scheduler.state_dict())
    assert resumed.rates() == first.rates() != whole.rates()
    resumed.step(300)
    assert resumed.rates() == whole.rates()


def train(config, work_dir, epochs, resume=False):
    """Train on 13 batches an epoch, a warm-up step after every second; returns the rates."""
    rates = Rates()
    loader = dict(
        batch_size=1,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=[dict(inputs=torch.ones(1)) for _ in range(13)],
    )
    runner = Runner(
        Model(),
        str(work_dir),
        train_dataloader=loader,
        optim_wrapper=config.optim_wrapper,
        param_scheduler=dict(config.param_scheduler, warmup_interval=2, end=4),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        custom_hooks=[rates],
        resume=resume,
        default_scope='vlpeft',
        experiment_name=f'{work_dir.name}_{epochs}',
    )
    runner.train()
    return rates.found


def test_a_real_run_and_its_resumption_train_with_these_rates(tmp_path):
    config = Config.fromfile(RECIPES / f'{IMAGES}_vqav2_released.py', format_python_code=False)
    on_any_device(config)
    found = train(config, tmp_path / 'whole', 4)
    warmed = [1e-5] * 3 + [1.25e-5] * 2 + [1.5e-5] * 2 + [1.75e-5] * 2 + [2e-5] * 4
    cosine = [1e-6 + 0.5 * 1.9e-5 * (1 + math.cos(math.pi * epoch / 4)) for epoch in (1, 2, 3) for _ in range(13)]
    assert [rates[0] for rates in found] == pytest.approx(warmed + cosine)
    assert {rates[1] for rates in found} == {1e-5}
    assert train(config, tmp_path / 'cut', 2) + train(config, tmp_path / 'cut', 4, resume=True) == found
