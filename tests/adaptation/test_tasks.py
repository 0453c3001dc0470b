"""Methods with something of their own for each task: they get the batch's from whoever knows it, and from no one else.

With f_t the adapters of task t, every pass of a batch of task t is that of a model which has the single adapter f_t.
"""

import copy
import warnings
from contextlib import nullcontext

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

import vlpeft
from tests.plain_models import PLAIN
from tests.ports import free_port
from tests.processes import run_on_ranks
from tests.tiny import randomise
from tests.tiny_epalm import EPALM, build_perceptual
from tests.tiny_vl import build_vl, random_samples, write_tokenizer
from vlpeft.adaptation import UntrainedError
from vlpeft.sites import SiteError

TASKS = ['vqa', 'caption']
METHOD = dict(type='Bottleneck', bottleneck=3, tasks=TASKS, share='down', targets={})
SINGLE = dict(type='Bottleneck', bottleneck=3, targets={})


def start(name='bart', config=METHOD, **options):
    adapter = vlpeft.attach(PLAIN[name].model(), copy.deepcopy(config), **dict(check_after=0, **options))
    randomise(adapter.sets, seed=1)
    return adapter


def run(model, name='bart'):
    return PLAIN[name].run(model)


def of_one_task(adapter, task):
    """The state of a method without tasks that does what this one does for a task."""
    state = adapter.sets['default'].state_dict()
    return {key.replace(f'.{task}.', '.'): value for key, value in state.items() if f'.{task}.' in key or 'down' in key}


@pytest.mark.parametrize('name', ['bart', 'llama', 'vit'])
def test_a_batch_of_a_task_runs_what_is_the_tasks(name):
    adapter, single = start(name), start(name, SINGLE)
    for task in TASKS:
        single.sets['default'].load_state_dict(of_one_task(adapter, task))
        with adapter.task(task):
            found = run(adapter, name)
        assert torch.equal(found, run(single, name))


def test_without_a_task_or_of_an_unknown_one_a_pass_is_an_error():
    adapter = start()
    with pytest.raises(SiteError, match=r'for each of the tasks vqa, caption, but no task is named; .*adapter\.task'):
        run(adapter)
    with adapter.task('vqa'):
        with adapter.task('gqa'), pytest.raises(SiteError, match="tasks vqa, caption, but the task is 'gqa'"):
            run(adapter)
        run(adapter)
    with pytest.raises(SiteError):
        run(adapter)
    with adapter.use(None):
        run(adapter)


def test_a_second_set_without_tasks_does_not_ask():
    adapter = start()
    adapter.add('single', SINGLE)
    with adapter.use('single'):
        run(adapter)
    with adapter.task('vqa'), adapter.per_sample(['default', 'single', None]):
        mixed = run(adapter)
    with adapter.task('vqa'):
        torch.testing.assert_close(mixed[0], run(adapter)[0])


@pytest.mark.parametrize('how', ['transformers', 'ours'])
def test_recomputing_knows_the_task_of_the_forward_pass(how):
    plain, saving = start(), start()
    if how == 'ours':
        for tower in saving.towers.values():
            vlpeft.sites.checkpoint_blocks(tower, saving.hooks.switch)
    else:
        saving.gradient_checkpointing_enable()
        # transformers recomputes in training mode only; the model has no dropout.
        saving.train()
    losses = []
    for adapter in (plain, saving):
        for task in TASKS:
            with adapter.task(task):
                losses.append((adapter, run(adapter).square().mean()))
    # Backward passes come later, in another order, and inside of another task.
    for adapter, loss in reversed(losses):
        with adapter.task('caption'):
            loss.backward()
    for (name, expected), (_, found) in zip(plain.named_parameters(), saving.named_parameters()):
        torch.testing.assert_close(found.grad, expected.grad, msg=lambda text, name=name: f'{name}: {text}')
        assert expected.grad.any()


def test_tensors_of_tasks_that_have_not_come_yet_are_not_called_untrained():
    adapter = vlpeft.attach(PLAIN['bart'].model(), METHOD, strict=True)
    optimizer = torch.optim.SGD(adapter.parameters(), lr=1e-2)
    with warnings.catch_warnings(), adapter.task('vqa'):
        warnings.simplefilter('error')
        run(adapter).square().mean().backward()
        optimizer.step()
    again = vlpeft.attach(PLAIN['bart'].model(), METHOD, strict=True)
    randomise(again.sets, seed=1)
    optimizer = torch.optim.SGD(again.parameters(), lr=1e-2)
    with again.task('caption'):
        (0 * run(again).sum()).backward()
    with pytest.raises(UntrainedError, match='40 with a gradient of zero in every step'):
        optimizer.step()


def test_checking_the_sites_of_a_set_runs_its_own_tasks_and_counts_for_nothing():
    adapter = vlpeft.attach(PLAIN['bart'].model(), METHOD, strict=True)
    adapter.add('others', dict(METHOD, tasks=['nlvr2']))
    adapter.check_sites()
    with adapter.use('others'):
        adapter.check_sites()
    assert len(adapter.never_hit()) == 20
    optimizer = torch.optim.SGD(adapter.parameters(), lr=1e-2)
    with warnings.catch_warnings(), adapter.task('vqa'):
        warnings.simplefilter('error')
        run(adapter).square().mean().backward()
        optimizer.step()


def test_in_a_list_of_methods_each_keeps_its_tasks():
    adapter = start(config=[dict(type='LoRA', rank=2, targets={}), METHOD])
    method = adapter.sets['default']
    found = {method.task_of(name) for name, _ in method.named_parameters()}
    assert found == {None, *TASKS} and adapter.hooks.tasks == TASKS
    assert method.task_of('parts.1.layers.encoder_0_ffn.up.vqa.weight') == 'vqa'
    assert method.task_of('parts.1.layers.encoder_0_ffn.down.weight') is None
    assert method.task_of('parts.0.layers.encoder_0_ffn_fc1.up.weight') is None


@pytest.fixture(scope='module')
def vocabulary(tmp_path_factory):
    return write_tokenizer(tmp_path_factory.mktemp('bart'), 'bart')


def test_a_task_model_hands_on_the_task_of_its_samples(vocabulary):
    tasks = [*TASKS, 'nlvr2']
    model = build_vl('bart', vocabulary, adapter=dict(METHOD, tasks=tasks))
    for task in tasks:
        single = build_vl('bart', vocabulary, adapter=SINGLE)
        state = {key.replace(f'.{task}.', '.'): value for key, value in model.state_dict().items()}
        single.load_state_dict({key: value for key, value in state.items() if key in single.state_dict()})
        features, samples = random_samples(task)
        found, expected = (one(features, samples, mode='loss')[f'loss_{task}'] for one in (model, single))
        assert torch.equal(found, expected)
        found, expected = (
            [sample.to_dict() for sample in one(*random_samples(task), mode='predict')] for one in (model, single)
        )
        assert found == expected


def test_a_method_that_lacks_a_task_of_the_model_is_refused_when_the_model_is_built():
    method = dict(METHOD, tasks=['other'])
    with pytest.raises(SiteError, match="for each of the tasks other, but the task is 'vqa'"):
        build_vl('bart', adapter=method)
    with pytest.raises(SiteError, match="for each of the tasks other, but the task is 'vqa'"):
        build_perceptual(adapter=[EPALM, dict(method, targets=dict(towers=['lm']))])


#: For each update its batches, and for each batch the tasks of both processes.
STEPS = [
    [('vqa', 'vqa')],
    [('caption', 'caption')],
    [('vqa', 'caption')],
    [('vqa', 'vqa'), ('caption', 'caption')],
    [('caption', 'caption'), ('caption', 'caption')],
]


def train(rank: int, world: int, port: int, out: str) -> None:
    """Updates of two processes, of one sample and of two, on one task or on one each, of one batch or several, whose
    gradients are exchanged with the last; or what they are in one process.
    """
    torch.set_num_threads(1)
    adapter = start()
    parts = (slice(0, 1), slice(1, 3))
    model, taken = adapter, [0, 1]
    if world > 1:
        torch.distributed.init_process_group('gloo', f'tcp://127.0.0.1:{port}', rank=rank, world_size=world)
        model, taken = DistributedDataParallel(adapter, find_unused_parameters=True), [rank]
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=1e-2)
    grads = []
    for batches in STEPS:
        optimizer.zero_grad()
        for number, tasks in enumerate(batches, 1):
            later = model.no_sync() if world > 1 and number < len(batches) else nullcontext()
            for part in taken:
                with later, adapter.task(tasks[part]):
                    loss = PLAIN['bart'].run(model, rows=parts[part]).square().mean() / len(taken)
                    loss.backward()
        grads.append({key: None if p.grad is None else p.grad.clone() for key, p in adapter.named_parameters()})
        optimizer.step()
    if rank == 0:
        torch.save((grads, adapter.state_dict()), out)
    if world > 1:
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def test_two_processes_of_one_task_or_of_one_each_are_one(tmp_path):
    """What no process used has no gradient, and its weights and moments stay."""
    results = []
    for world in (1, 2):
        out = str(tmp_path / f'{world}.pt')
        run_on_ranks(train, world, free_port(), out, world=world)
        results.append(torch.load(out, weights_only=True))
    (one, state), (two, other) = results
    for batches, expected, found in zip(STEPS, one, two):
        for key, grad in expected.items():
            if grad is None:
                assert found[key] is None and not any(f'.{task}.' in key for tasks in batches for task in tasks), key
            else:
                torch.testing.assert_close(found[key], grad, rtol=1e-9, atol=1e-12)
    assert any(grad is None for grad in one[0].values()) and all(grad is not None for grad in one[2].values())
    for key, value in state.items():
        torch.testing.assert_close(other[key], value, rtol=1e-8, atol=1e-10)
