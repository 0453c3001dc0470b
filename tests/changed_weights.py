"""A model whose weights are what a method makes of them by its formula, restated without hooks."""

import torch
from torch import nn
from torch.func import functional_call

import vlpeft
from vlpeft.sites import Targets
from vlpeft.testing.subjects import randomise


class Changed(nn.Module):
    """A model that runs with other tensors in the place of some of its parameters."""

    def __init__(self, model: nn.Module, tensors: dict) -> None:
        super().__init__()
        self.model, self.tensors = model, tensors

    def forward(self, **given):
        return functional_call(self.model, self.tensors, (), given)


def changed_tensors(model: nn.Module, targets: dict, formula, towers=None) -> dict:
    """Weights and biases of the chosen maps under a formula, as a dict for :class:`Changed`.

    Args:
        model: A model whose parameters are the frozen ones.
        targets: Arguments of ``Targets``.
        formula: From a map's key, such as ``lm_0_ffn_fc1``, its weight (out, in) and bias (out,) or None to new ones.
        towers: As for ``vlpeft.find_towers``.
    """
    found = vlpeft.find_towers(model, towers)
    tensors = {name: param.detach().clone() for name, param in model.named_parameters()}
    changed = {}
    for tower, depth, sublayer, role, site in Targets(**targets).linears(found, 'test'):
        path = '.'.join(filter(None, (found.paths[tower.name], site.path)))
        weight, bias = changed.get(path) or (tensors[f'{path}.weight'], tensors.get(f'{path}.bias'))
        stored_as_in_out = type(model.get_submodule(path)).__name__ == 'Conv1D'
        weight = weight.T if stored_as_in_out else weight
        first, last = site.span or (0, len(weight))
        rows = None if bias is None else bias[first:last]
        key = f'{tower.name}_{depth}_{sublayer.kind}_{role}'
        new, new_bias = formula(key, weight[first:last], rows)
        weight = torch.cat([weight[:first], new, weight[last:]])
        bias = bias if bias is None else torch.cat([bias[:first], new_bias, bias[last:]])
        changed[path] = (weight.T if stored_as_in_out else weight), bias
    for path, (weight, bias) in changed.items():
        tensors[f'{path}.weight'] = weight
        if bias is not None:
            tensors[f'{path}.bias'] = bias
    return tensors


def assert_equals_changed_weights(subject, config, formula_of, dtype=torch.float64):
    """A method computes what its model computes with changed weights: output, loss and all gradients.

    Args:
        subject: The kind of model.
        config: The method's.
        formula_of: From the method's trained and frozen tensors by name to a formula of :func:`changed_tensors`.
        dtype: Of the model. Defaults to float64, compared to 1e-8; in float32 to 1e-4.
    """
    tolerance = dict(rtol=1e-8, atol=1e-9) if dtype == torch.float64 else dict(rtol=1e-4, atol=1e-4)
    adapter = vlpeft.attach(subject.model(dtype), config, subject.towers, check_after=0)
    randomise(adapter.sets, seed=1)
    output = subject.run(adapter)
    weights = torch.linspace(0.5, 1.5, output.shape[-1], dtype=output.dtype)
    (weights * output).square().mean().backward()

    fresh = subject.model(dtype)
    state = {
        name.removeprefix('default.'): tensor.detach().clone().requires_grad_(tensor.requires_grad)
        for name, tensor in [*adapter.sets.named_parameters(), *adapter.sets.named_buffers()]
    }
    tensors = changed_tensors(fresh, config['targets'], formula_of(state), subject.towers)
    expected = subject.run(Changed(fresh, tensors))
    loss = (weights * expected).square().mean()
    trained = {name: tensor for name, tensor in state.items() if tensor.requires_grad}
    grads = torch.autograd.grad(loss, list(trained.values()))
    torch.testing.assert_close(output, expected, **tolerance)
    assert not torch.allclose(expected, subject.run(fresh), atol=1e-2)
    for (name, grad), (own, param) in zip(
        zip(trained, grads), ((n, p) for n, p in adapter.sets.named_parameters() if p.requires_grad)
    ):
        assert own == f'default.{name}' and grad.any()
        torch.testing.assert_close(param.grad, grad, **tolerance, msg=lambda text, name=name: f'{name}: {text}')
