"""The rows of the contract: each is a promise, checked on one method and one kind of model.

A row gets a :class:`Case`, which makes fresh models with the method on them, and raises AssertionError where the
promise does not hold.
"""

import copy
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

import vlpeft
from vlpeft.adaptation import AdapterFolderError, AttachedAdapter
from vlpeft.sites import SiteError

from .subjects import Subject, randomise


@dataclass(frozen=True)
class Case:
    """A method on a kind of model.

    Attributes:
        subject: The model.
        config: The method's.
    """

    subject: Subject
    config: dict | list[dict]

    def attached(self, trained: bool = True, dtype: torch.dtype | None = None) -> AttachedAdapter:
        """The method on a fresh model; where ``trained``, with parameters as different from its start as training
        makes them.
        """
        adapter = vlpeft.attach(
            self.subject.model(dtype), copy.deepcopy(self.config), self.subject.towers, check_after=0
        )
        if trained:
            randomise(adapter.sets, seed=1)
        return for_first_task(adapter)

    @torch.no_grad()
    def run(self, model: nn.Module, **options) -> Tensor:
        """Output without gradient."""
        return self.subject.run(model, **options)

    @property
    def close(self) -> dict[str, float]:
        """Tolerances where equal numbers are computed in another order."""
        return self.subject.close


def loss_of(output: Tensor) -> Tensor:
    """A sum over samples. Weighed, because the sum of squares of outputs that have length one, as those of CLIP, is a
    constant.
    """
    weights = torch.linspace(0.5, 1.5, output.shape[-1], dtype=output.dtype, device=output.device)
    return (weights * output).square().sum()


def for_first_task(adapter: AttachedAdapter) -> AttachedAdapter:
    """Where a method has something of its own for each task, the first of them is that of all that follows."""
    adapter.hooks.switch.current_task = next(iter(adapter.hooks.tasks), None)
    return adapter


def backward(case: Case, adapter: AttachedAdapter, model: nn.Module | None = None, rows: slice = slice(None)) -> None:
    """Adds up the gradients of a batch of some rows, of every task that the method knows.

    Args:
        case: The method on a kind of model.
        adapter: The handle.
        model: What is called. Defaults to None: the handle.
        rows: Of the batch. Defaults to all.
    """
    for task in adapter.hooks.tasks or [None]:
        with adapter.task(task):
            loss = loss_of(case.subject.run(adapter if model is None else model, rows=rows))
        # Outside of the task: what is recomputed here has to know it from the forward pass.
        loss.backward()


def _gradients(case: Case, adapter: AttachedAdapter) -> dict[str, Tensor | None]:
    adapter.zero_grad()
    backward(case, adapter)
    return {name: param.grad for name, param in adapter.named_parameters() if param.requires_grad}


@contextmanager
def _refusing(kinds: type | tuple, what: str) -> Iterator[None]:
    try:
        yield
    except kinds:
        return
    raise AssertionError(what)


def keys_unchanged(case: Case) -> None:
    """The model has the keys, weights and class that it had, and a fresh model's output while no set acts."""
    plain, adapter = case.subject.model(), case.attached()
    expected, found = plain.state_dict(), adapter.model.state_dict()
    assert list(found) == list(expected), 'the keys of the model changed'
    assert all(torch.equal(found[key], value) for key, value in expected.items()), 'weights of the model changed'
    assert type(adapter.model) is type(plain)
    # Frozen as the model is: torch computes attention by another kernel then.
    bare = case.run(plain.requires_grad_(False))
    with adapter.use(None):
        assert torch.equal(case.run(adapter.model), bare), 'without a set the output is not the bare one'


def acts_everywhere(case: Case) -> None:
    """Trained it changes the output, and every one of its sites is reached."""
    adapter = case.attached()
    changed = case.run(adapter)
    with adapter.use(None):
        assert not torch.allclose(changed, case.run(adapter)), 'the trained method changes nothing'
    assert adapter.never_hit() == [], f'sites never reached: {adapter.never_hit()}'


def detaches(case: Case) -> None:
    """Detached, nothing is left of it."""
    plain, adapter = case.subject.model(), case.attached()
    bare, model = case.run(plain), adapter.model
    adapter.detach()
    assert torch.equal(case.run(model), bare), 'the output is not the bare one again'
    # transformers 5 hooks modules itself once a model runs.
    left = [path for path, module in model.named_modules() if _hooks(module) != _hooks(plain.get_submodule(path))]
    assert not left, f'hooks stay on {left[:3]}'


def _hooks(module: nn.Module) -> int:
    return len(module._forward_hooks) + len(module._forward_pre_hooks)


def copies(case: Case) -> None:
    """A deep copy has a method of its own."""
    adapter = case.attached()
    before, twin = case.run(adapter), copy.deepcopy(adapter)
    with torch.no_grad():
        for param in twin.parameters():
            # Not alike in all channels, which a norm behind it could take out again.
            param.add_(torch.linspace(0.1, 0.5, param.numel(), dtype=param.dtype).view_as(param))
    assert torch.equal(case.run(adapter), before), 'training the copy changed the original'
    assert not torch.allclose(case.run(twin), before), 'the copy does not run its own method'


def saves(case: Case) -> None:
    """Saved, it comes back on a fresh model; on another geometry it is refused."""
    adapter = case.attached()
    with tempfile.TemporaryDirectory() as folder:
        adapter.save(folder)
        again = for_first_task(vlpeft.load_adapter(case.subject.model(), folder, case.subject.towers, check_after=0))
        assert torch.equal(case.run(again), case.run(adapter)), 'loaded, it computes something else'
        path = Path(folder, 'adapter_model.safetensors')
        _shorten(path)
        with _refusing(AdapterFolderError, 'a tensor of another shape was accepted'):
            vlpeft.load_adapter(case.subject.model(), folder, case.subject.towers, check_after=0)


def _shorten(path: Path) -> None:
    """Cuts a slice off one tensor."""
    from vlpeft.checkpoint import Checkpoint
    from vlpeft.checkpoint.files import write_safetensors

    checkpoint = Checkpoint.read(path)
    state = dict(checkpoint.weights)
    key, value = next((key, value) for key, value in state.items() if value.numel() > 1)
    dim = value.shape.index(max(value.shape))
    state[key] = value.narrow(dim, 1, value.shape[dim] - 1).contiguous()
    write_safetensors(state, path, dict(checkpoint.meta))


def switches(case: Case) -> None:
    """A second set acts in the first one's place, and sample by sample."""
    adapter = case.attached()
    adapter.add('second', copy.deepcopy(case.config))
    randomise(adapter.sets['second'], seed=2)
    first = case.run(adapter)
    with adapter.use('second'):
        second = case.run(adapter)
    with adapter.use(None):
        bare = case.run(adapter)
    assert not torch.allclose(first, second), 'the second set computes what the first does'
    assert torch.equal(case.run(adapter), first), 'after the block the first set does not act again'
    independent = all(part.rows_independent for name in adapter.sets for part in adapter.methods(name))
    edits = [edit for attachment in adapter.hooks.attachments.values() for edit in attachment.edits]
    if not independent or any(adapter.towers[edit.tower].packed for edit in edits):
        with _refusing(SiteError, 'sets per sample were accepted'):
            adapter.per_sample(('default', 'second', None))
        return
    with adapter.per_sample(('default', 'second', None), case.subject.rows_each):
        mixed = case.run(adapter)
    for row, alone in zip(mixed, (first[0], second[1], bare[2])):
        torch.testing.assert_close(row, alone, **case.close)


def tells_tasks_apart(case: Case) -> None:
    """What has something of its own for each task does another thing for another, and refuses a pass without one."""
    adapter = case.attached()
    tasks = adapter.hooks.tasks
    if not tasks:
        return
    found = []
    for task in tasks:
        with adapter.task(task):
            found.append(case.run(adapter))
    for i, one in enumerate(found):
        for other in found[:i]:
            assert not torch.allclose(one, other), 'two tasks compute the same'
    for task in (None, 'no such task'):
        with _refusing(SiteError, f'a pass of task {task} was accepted'), adapter.task(task):
            case.run(adapter)


def merged(adapter: AttachedAdapter) -> bool:
    """Merges the acting set where weights can hold it; where they cannot, the refusal must say so."""
    try:
        adapter.merge()
    except SiteError as error:
        assert 'cannot be merged' in str(error) or 'quantised' in str(error), error
        return False
    return True


def merges(case: Case) -> None:
    """Merged it computes the same, and unmerging restores every bit; what cannot be merged says so."""
    adapter = case.attached()
    before = {key: value.clone() for key, value in adapter.model.state_dict().items()}
    expected = case.run(adapter)
    if merged(adapter):
        weights = adapter.model.state_dict()
        assert any(not torch.equal(weights[key], value) for key, value in before.items()), 'no weight has changed'
        close = case.close if case.subject.dtype == torch.float64 else dict(rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(case.run(adapter), expected, **close)
        adapter.unmerge()
    after = adapter.model.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items()), 'weights are not what they were'
    assert torch.equal(case.run(adapter), expected)


def trains(case: Case) -> None:
    """Exactly what is declared gets a gradient, finite and not zero."""
    adapter = case.attached()
    found = _gradients(case, adapter)
    assert found, 'nothing trains'
    for name, grad in found.items():
        assert grad is not None, f'{name} has no gradient'
        assert torch.isfinite(grad).all() and grad.any(), f'{name} has a gradient of zero or one that is not finite'
    frozen = [name for name, param in adapter.model.named_parameters() if param.grad is not None]
    assert not frozen, f'frozen parameters have gradients: {frozen[:3]}'


def recomputes(case: Case) -> None:
    """Gradient checkpointing of every tower changes no gradient, whichever set acts."""
    plain, saving = case.attached(), case.attached()
    for tower in saving.towers.values():
        vlpeft.sites.checkpoint_blocks(tower, saving.hooks.switch)
    expected, found = (_gradients(case, adapter) for adapter in (plain, saving))
    assert found.keys() == expected.keys()
    for name, grad in expected.items():
        torch.testing.assert_close(found[name], grad, **case.close, msg=lambda text, name=name: f'{name}: {text}')


def autocasts(case: Case) -> None:
    """In mixed precision it computes what it computes in single precision, to the digits of bfloat16."""
    adapter = case.attached(dtype=torch.float32)
    exact = case.run(adapter)
    with torch.autocast('cpu', torch.bfloat16):
        short = case.run(adapter)
        grads = _gradients(case, adapter)
    assert (short.float() - exact).abs().max() < 0.15 * exact.abs().max(), 'far from single precision'
    assert all(grad is not None and torch.isfinite(grad).all() for grad in grads.values())


def compiles(case: Case) -> None:
    """Compiled blocks run the method, without it once it is switched off, and with it again."""
    adapter = case.attached(dtype=torch.float32)
    expected = case.run(adapter)
    with adapter.use(None):
        bare = case.run(adapter)
    for tower in adapter.towers.values():
        for block in tower.block_modules:
            block.compile(backend='eager')
    with torch._dynamo.config.patch(recompile_limit=64):
        close = dict(rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(case.run(adapter), expected, **close)
        with adapter.use(None):
            torch.testing.assert_close(case.run(adapter), bare, **close)
        torch.testing.assert_close(case.run(adapter), expected, **close)


def generates(case: Case) -> None:
    """Tokens and their scores with a cache of keys and values are those without."""
    if case.subject.prompts is None:
        return
    adapter = case.attached()
    options = dict(max_new_tokens=5, do_sample=False, num_beams=1, pad_token_id=1, eos_token_id=None)
    options.update(return_dict_in_generate=True, output_scores=True)
    with_cache, without = (
        adapter.generate(**case.subject.prompts(2), **options, use_cache=cache) for cache in (True, False)
    )
    assert torch.equal(with_cache.sequences, without.sequences), 'other tokens with a cache than without'
    for ours, theirs in zip(with_cache.scores, without.scores):
        close = dict(rtol=max(case.close['rtol'], 1e-6), atol=max(case.close['atol'], 1e-8))
        torch.testing.assert_close(ours, theirs, **close)


def batches(case: Case) -> None:
    """Gradients of a batch are the sum of those of its halves: what two processes compute is what one does."""
    whole, parts = case.attached(), case.attached()
    expected = _gradients(case, whole)
    for rows in (slice(0, 1), slice(1, 3)):
        backward(case, parts, rows=rows)
    for name, param in parts.named_parameters():
        if name in expected:
            torch.testing.assert_close(param.grad, expected[name], **case.close)


#: In the order in which they are checked.
ROWS: Mapping[str, Callable[[Case], None]] = {
    row.__name__: row
    for row in (
        keys_unchanged,
        acts_everywhere,
        detaches,
        copies,
        saves,
        switches,
        tells_tasks_apart,
        merges,
        trains,
        recomputes,
        autocasts,
        compiles,
        generates,
        batches,
    )
}
