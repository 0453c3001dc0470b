"""The head of a run on the console: what is run, on what, and where it is written."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.runner import BaseLoop

from vlpeft.checkpoint.scheme import SCHEME
from vlpeft.engine.task_model import task_model
from vlpeft.models.parameters import count_parameters
from vlpeft.models.tasks.base import AdaptedModel


def head(runner) -> Iterator[tuple[str, str]]:
    """Yields (name, text) of its lines."""
    model = task_model(runner)
    yield 'config', str(runner.cfg.filename or 'given as a dict')
    yield from _of_model(model)
    yield 'data', ', '.join(_sizes(runner))
    count, device = get_world_size(), next(model.parameters(), torch.empty(0)).device
    name = torch.cuda.get_device_name(device) if device.type == 'cuda' else 'cpu'
    yield 'device', f'{name}, {count} process{"es" * (count > 1)}'
    if runner._load_from:
        yield 'checkpoint', str(runner._load_from).removeprefix(SCHEME)
    yield 'work folder', runner.work_dir
    if runner.logger.log_file:
        yield 'log', runner.logger.log_file


def _of_model(model) -> Iterator[tuple[str, str]]:
    if isinstance(model, AdaptedModel):
        yield 'method', model.method
        yield 'base', _base(model.base)
        counts = count_parameters(model)
        trainable, total, percent = counts['trainable'], counts['total'], counts['percent']
    else:
        sizes = [(param.numel(), param.requires_grad) for param in model.parameters()]
        total, trainable = sum(size for size, _ in sizes), sum(size for size, trains in sizes if trains)
        percent = 100 * trainable / max(1, total)
        yield 'model', type(model).__name__
    yield 'parameters', f'{trainable:,} of {total:,} train ({percent:.2f} %)'


def _base(base: Mapping[str, Any] | None) -> str:
    return 'none, initial weights' if base is None else str(base['name'])


def _sizes(runner) -> Iterator[str]:
    for name, loop in (('training', runner._train_loop), ('validation', runner._val_loop), ('test', runner._test_loop)):
        if not isinstance(loop, BaseLoop):
            continue
        loader = loop.dataloader
        loaders = getattr(loader, 'loaders', None) or {None: loader}
        size = sum(len(one.dataset) for one in loaders.values())
        batches = f'{len(loader):,} batches' if name == 'training' else ''
        yield f'{size:,} {name} samples' + f' in {batches}' * bool(batches)
