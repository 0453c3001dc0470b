"""Loading a checkpoint of any dialect into a model: convert, resize, refuse what cannot be right, report the rest."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from .dialects import detect, get_dialect, weights_of
from .errors import CheckpointError
from .files import read_checkpoint
from .identity import base_identity, check_base
from .report import LoadReport, shorten
from .resize import grow_words, resize_embedding
from .tied import join_tied, tied_names, unique_state
from .unread import advice

__all__ = ['base_identity', 'check_base', 'fit', 'load_into', 'put', 'unique_state']

#: Averages of the trained weights; a file without them leaves them to start from the weights it gave.
MOMENTUM = 'momentum.'
#: Parts that only training needs.
TRAINING_ONLY = (MOMENTUM, 'queue.')


def load_into(
    model: nn.Module,
    checkpoint: str | Path | Mapping[str, Any],
    *,
    dialect: str | None = None,
    strict_parts: Sequence[str] = (),
    origin: str | None = None,
) -> LoadReport:
    """Fill a model from a checkpoint of any dialect. Momentum copies that it lacks are made from the loaded weights.

    Args:
        model: Its state dict decides what is wanted.
        checkpoint: A local file, what ``read_checkpoint`` returned, or a bare state dict.
        dialect: The layout. Defaults to None: told from the keys.
        strict_parts: Parts of the model (first key segment) that must be filled completely, as ``('vision', 'text')``
            for a base. What is missing elsewhere is reported. Defaults to ().
        origin: Name of the checkpoint in messages. Defaults to None: the file, or "checkpoint".

    Returns:
        What was loaded, missing, unexpected, resized and ignored.

    Raises:
        CheckpointError: Unknown layout, nothing to fill, another geometry, or a strict part left incomplete. The
            model is then unchanged.
    """
    state, report = fit(
        checkpoint,
        unique_state(model),
        dialect=dialect,
        strict_parts=strict_parts,
        origin=origin,
        tied=tied_names(model),
    )
    put(model, state, report)
    return report


def put(model: nn.Module, state: Mapping[str, Tensor], report: LoadReport) -> None:
    """Puts what :func:`fit` returned into the model, and the same into momentum copies that the file lacks."""
    model.load_state_dict(state, strict=False)
    if stale := {key.removeprefix(MOMENTUM) for key in report.missing if key.startswith(MOMENTUM)}:
        model.momentum.copy_from(model, stale)
    if hasattr(model, 'filled'):
        model.filled |= set(state)


def fit(
    checkpoint: str | Path | Mapping[str, Any],
    target: Mapping[str, Tensor],
    *,
    dialect: str | None = None,
    strict_parts: Sequence[str] = (),
    origin: str | None = None,
    tied: Mapping[str, str] = MappingProxyType({}),
) -> tuple[dict[str, Tensor], LoadReport]:
    """What a checkpoint offers to a model with the state dict ``target``. Arguments and errors as ``load_into``.

    ``tied`` are further names of the target's tensors (:func:`~vlpeft.checkpoint.tied.tied_names`). Defaults to none.

    Returns:
        State dict in our keys, a subset of ``target``'s in its shapes and number formats (a file of half
            precision fills float32 weights with the same numbers); and the report.
    """
    if isinstance(checkpoint, (str, Path)):
        origin = origin or str(checkpoint)
        checkpoint = read_checkpoint(checkpoint)
    origin = origin or 'checkpoint'
    layout = get_dialect(dialect) if dialect else detect(checkpoint, origin)
    if not layout.matches(checkpoint):
        raise CheckpointError(
            f'{origin} is not in the {dialect} layout; its first keys: ' + shorten(list(weights_of(checkpoint)))
        )
    parts = {key.partition('.')[0] for key in target}
    try:
        source = join_tied(layout.at_home(layout.to_vlpeft(checkpoint), parts), tied, origin)
    except KeyError as error:
        raise CheckpointError(f'{origin} ({layout.name} layout) lacks the key {error}') from error
    report = LoadReport(origin, layout.name, ignored=layout.ignored_keys(checkpoint))
    fitted, misfits = {}, []
    for key, wanted in target.items():
        part = report.part(key)
        if key not in source:
            (report.new if layout.is_new(key) else part.missing).append(key)
            continue
        tensor = source[key]
        if tensor.shape != wanted.shape:
            shapes = f'{tuple(tensor.shape)} -> {tuple(wanted.shape)}'
            rows = len(tensor)
            resized = resize_embedding(key, tensor, wanted)
            if resized is None:
                resized = grow_words(key, tensor, wanted, layout.new_rows.get(key, 0))
                if resized is not None:
                    report.grown[key] = rows
            tensor = resized
            if tensor is None:
                misfits.append(f'{key}: {shapes}')
                continue
            part.resized[key] = shapes
        if tensor.dtype != wanted.dtype and tensor.is_floating_point() and wanted.is_floating_point():
            report.converted[f'{tensor.dtype} -> {wanted.dtype}'.replace('torch.', '')] += 1
            tensor = tensor.to(wanted.dtype)
        part.loaded.append(key)
        fitted[key] = tensor
    for key in source:
        name = key.partition('.')[0]
        if key in target:
            continue
        if name not in parts and name in layout.optional_parts:
            report.ignored.setdefault(f'the model has no {name}', []).append(key)
        elif key.startswith(TRAINING_ONLY):
            report.ignored.setdefault('state of another training', []).append(key)
        else:
            report.part(key).unexpected.append(key)
    _refuse(report, misfits, strict_parts, weights_of(checkpoint), target)
    return fitted, report


def _refuse(
    report: LoadReport,
    misfits: Sequence[str],
    strict_parts: Sequence[str],
    source: Mapping[str, Tensor],
    target: Mapping[str, Tensor],
) -> None:
    if misfits:
        raise CheckpointError(
            f'{report.origin} ({report.dialect} layout) has another geometry than the model; '
            f'{len(misfits)} shapes (file -> model) differ: ' + ', '.join(misfits[:8])
        )
    if not report.loaded:
        raise CheckpointError(
            f'{report.origin} ({report.dialect} layout) fills nothing of the model; first keys of '
            f'the file: {shorten(list(source))}; of the model: {shorten(list(target))}'
        )
    for name in strict_parts:
        if name not in report.parts:
            raise CheckpointError(f'{name!r} is not a part of the model; its parts: {", ".join(report.parts)}')
        part = report.parts[name]
        if missing := part.missing:
            raise CheckpointError(
                f'{report.origin} ({report.dialect} layout) leaves {len(missing)} keys of {name} '
                f'unfilled: {shorten(missing)}. '
                f'{advice(name, part.unexpected, missing, part.loaded)}\n{report}'
            )
