"""Computes a saved batch again and says where the first number appears that is not finite."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from vlpeft.checkpoint.report import shorten
from vlpeft.datasets.generators import restore_generators
from vlpeft.engine.bad_batch import BadBatch
from vlpeft.engine.finite import nonfinite_names, trained_tensors


class _Found(Exception):
    """Ends a replay."""


def first_nonfinite(model: nn.Module, batch: BadBatch) -> str | None:
    """The first place in weights, inputs, forward or backward pass with a number that is NaN or infinite.

    Args:
        model: With the weights that met the batch, on the device to compute on; its gradients and random state change.
        batch: The batch.

    Returns:
        A sentence; None if all is finite, losses and gradients too.
    """
    handles = [
        module.register_forward_hook(_check_pass(name), with_kwargs=True) for name, module in model.named_modules()
    ]
    try:
        _replay(model.train(), batch)
    except _Found as found:
        return str(found)
    finally:
        for handle in handles:
            handle.remove()
    return None


def _replay(model: nn.Module, batch: BadBatch) -> None:
    if names := nonfinite_names(trained_tensors(model)):
        raise _Found(f'in the weights: {len(names)} trained tensors are not finite: {shorten(names)}')
    device = next(model.parameters()).device
    model.zero_grad()
    restore_generators(batch.generators)
    autocast = dict(dtype=getattr(torch, batch.autocast)) if batch.autocast else dict(enabled=False)
    with torch.autocast(device.type, **autocast):
        data = model.data_preprocessor(batch.data_batch, True)
        if places := list(_nonfinite(data, 'the batch')):
            raise _Found(f'in the input: {places[0]}')
        losses = model(**data, mode='loss')
    total, found = model.parse_losses(losses)
    if wrong := [name for name, value in found.items() if not value.isfinite().all()]:
        raise _Found(f'in the losses, from finite outputs of all modules: {", ".join(wrong)}')
    (total * batch.loss_scale).backward()
    if names := nonfinite_names(
        (name, param.grad) for name, param in model.named_parameters() if param.grad is not None
    ):
        raise _Found(f'in the backward pass: the gradients of {shorten(names)}')


def _check_pass(name: str) -> Callable:
    where = f'{name or "the model"}'

    def check(module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
        if isinstance(output, dict) and not name:
            return  # The losses, which are looked at by name.
        if places := list(_nonfinite(output, 'output')):
            before = list(_nonfinite((args, kwargs), 'input'))
            cause = f'its inputs are not finite either ({before[0]})' if before else 'its inputs are finite'
            raise _Found(f'in the forward pass: {where} ({type(module).__name__}): {places[0]}; {cause}')
        for tensor in _tensors(output):
            if tensor.requires_grad:
                tensor.register_hook(lambda gradient: _check_gradient(where, module, gradient))

    return check


def _check_gradient(where: str, module: nn.Module, gradient: Tensor) -> None:
    if not gradient.isfinite().all():
        raise _Found(
            f'in the backward pass: the gradient that reaches the output of {where} '
            f'({type(module).__name__}): {_count(gradient)}'
        )


def _nonfinite(value: Any, place: str) -> Iterator[str]:
    """Places in nested data whose numbers are not finite."""
    if isinstance(value, Tensor):
        if value.is_floating_point() and not value.isfinite().all():
            yield f'{place} {_count(value)}'
    elif isinstance(value, BaseDataElement):
        yield from _nonfinite(dict(value.all_items()), place)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _nonfinite(item, f'{place}[{key!r}]')
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _nonfinite(item, f'{place}[{index}]')


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


def _count(tensor: Tensor) -> str:
    wrong = ~tensor.isfinite()
    first = tuple(wrong.nonzero()[0].tolist())
    return f'has {int(wrong.sum()):,} of {tensor.numel():,} numbers that are not finite, the first at {first}'
