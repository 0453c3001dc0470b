"""Adapting a model that somebody brings: ``attach`` and ``load_adapter``, and what task models use of the same code."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from vlpeft.sites import SiteError, find_towers

from .errors import AdapterFolderError
from .folder import recorded_parts
from .handle import AttachedAdapter
from .learning_rates import lora_plus
from .sets import DEFAULT, AdapterSets, build_adapter
from .tell import tell
from .trainable import Trainable
from .training_check import UntrainedError

__all__ = [
    'AdapterFolderError',
    'AdapterSets',
    'AttachedAdapter',
    'UntrainedError',
    'attach',
    'build_adapter',
    'load_adapter',
    'lora_plus',
]


def attach(
    model: nn.Module,
    adapter: dict | Sequence[dict] | None,
    towers: Mapping[str, str] | None = None,
    name: str = DEFAULT,
    trainable: Trainable = None,
    check_after: int = 1,
    strict: bool = False,
) -> AttachedAdapter:
    """Puts a method on a model, freezes the model, and returns the handle that trains, saves and switches it.

        adapter = vlpeft.attach(model, dict(type='LoRA', rank=8, targets=dict(linears=['q', 'v'])))
        optimizer = torch.optim.AdamW(adapter.parameters(), lr=1e-3)

    Args:
        model: Any module that holds backbones of known families (:func:`vlpeft.find_towers`).
        adapter: Config of a method, or a list of them that act in that order. None for no method: what is declared as
            ``trainable`` trains alone.
        towers: The backbones by name, each with its module path in the model (``''`` for the model itself), such as
            ``dict(vision='vision_tower', lm='language_model')``. Defaults to None: they are found.
        name: Of the set. Defaults to ``'default'``.
        trainable: Parts of the model that train too: paths, words and selections by tower and kind, such as
            ``['lm_head', dict(parts='norms', towers=['encoder'])]``; see :mod:`vlpeft.adaptation.trainable`. They
            change in place, so that neither ``use(None)`` nor ``detach()`` brings them back. Defaults to none.
        check_after: After how many steps of an optimizer the gradients are looked at once, so that nothing that is
            declared to train stays untrained unnoticed. 0 for never. Defaults to 1.
        strict: Whether what is then found is an error rather than a warning. Defaults to False.

    Returns:
        The handle. The model itself runs with the method from now on, and keeps its keys.

    Raises:
        SiteError: No tower is found, a path does not exist, the method asks for what the towers do not have, or the
            model carries an adapter already. The model is then as it was.
    """
    handle = _handle(model, towers, trainable, check_after, strict)
    with _undone_if_it_fails(handle):
        handle.add(name, adapter)
    handle.hooks.switch.active = name
    return handle


def load_adapter(
    model: nn.Module,
    folder: str | Path,
    towers: Mapping[str, str] | None = None,
    name: str = DEFAULT,
    check_after: int = 1,
    strict: bool = False,
) -> AttachedAdapter:
    """Puts a saved adapter on a model.

    Args:
        model, towers, name, check_after, strict: As for :func:`attach`.
        folder: What ``adapter.save`` wrote, or a LoRA folder of Hugging Face PEFT.

    Returns:
        The handle, on which training can go on.

    Raises:
        AdapterFolderError: The folder is damaged, or the adapter belongs to another model, whose every difference is
            named. The model is then as it was.
        SiteError: As for :func:`attach`.
    """
    parts = recorded_parts(Path(folder))
    try:
        handle = _handle(model, towers, parts, check_after, strict)
    except SiteError as error:
        if not parts or not str(error).startswith('trainable'):
            raise
        raise AdapterFolderError(
            f'{folder} holds trained tensors of the model itself, which this model does not have: {error}'
        ) from error
    with _undone_if_it_fails(handle):
        handle.load(folder, name)
    handle.hooks.switch.active = name
    return handle


def _handle(
    model: nn.Module, towers: Mapping[str, str] | None, trainable: Trainable, check_after: int, strict: bool
) -> AttachedAdapter:
    if not isinstance(model, nn.Module):
        raise TypeError(f'an adapter is attached to a torch.nn.Module, not to {model!r}')
    if isinstance(check_after, bool) or not isinstance(check_after, int) or check_after < 0:
        raise ValueError(f'check_after={check_after!r}; it is a number of steps, or 0 for never')
    if not isinstance(strict, bool):
        raise ValueError(f'strict={strict!r}; it is True or False')
    if torch.is_inference_mode_enabled():
        raise SiteError('an adapter made under torch.inference_mode could never train; attach it outside')
    found = find_towers(model, towers)
    tell(found)
    return AttachedAdapter(model, found, found.paths, trainable, check_after, strict)


@contextmanager
def _undone_if_it_fails(handle: AttachedAdapter) -> Iterator[None]:
    try:
        yield
    except BaseException:
        handle.detach()
        raise
