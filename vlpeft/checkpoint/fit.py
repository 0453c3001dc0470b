"""Holding a checkpoint against a model: place, resize, refuse what cannot be right, report the rest."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from torch import Tensor, nn

from .errors import CheckpointError
from .places import find_places, tower_paths
from .report import LoadReport, shorten
from .resize import grow_words, resize_embedding
from .tied import join_tied, tied_names, unique_state
from .translate import Translated
from .unread import advice

#: Averages of the trained weights; a file without them leaves them to start from the weights it gave.
MOMENTUM = 'momentum.'
#: Parts that only training needs.
TRAINING_ONLY = (MOMENTUM, 'queue.')


def fit_model(
    source: Translated, model: nn.Module, strict_parts: Sequence[str] = ()
) -> tuple[dict[str, Tensor], LoadReport]:
    """What a checkpoint offers to a model as a whole: :func:`fit` for its state dict, tied weights once."""
    return fit(
        source, unique_state(model), towers=tower_paths(model), strict_parts=strict_parts, tied=tied_names(model)
    )


def fit(
    source: Translated,
    target: Mapping[str, Tensor],
    *,
    towers: Iterable[str] | None = None,
    strict_parts: Sequence[str] = (),
    tied: Mapping[str, str] = MappingProxyType({}),
) -> tuple[dict[str, Tensor], LoadReport]:
    """What a checkpoint offers to a model.

    Args:
        source: The checkpoint.
        target: State dict of the model.
        towers: Paths of its towers (:func:`~vlpeft.checkpoint.places.tower_paths`). Defaults to None: each part may be
            one.
        strict_parts: As :func:`~vlpeft.checkpoint.load.load_into`.
        tied: Further names of the target's tensors (:func:`~vlpeft.checkpoint.tied.tied_names`). Defaults to none.

    Returns:
        State dict in our keys, a subset of ``target``'s in its shapes and number formats (a file of half
            precision fills float32 weights with the same numbers); and the report.

    Raises:
        CheckpointError: As :func:`~vlpeft.checkpoint.load.load_into`.
    """
    layout, origin = source.layout, source.origin
    parts = {key.partition('.')[0] for key in target}
    places = find_places(source.state, source.towers, target, parts if towers is None else towers, origin)
    state = join_tied({places.ours(key): value for key, value in source.state.items()}, tied, origin)
    report = LoadReport(origin, layout.name, ignored={reason: list(keys) for reason, keys in source.ignored.items()})
    fitted, misfits = {}, []
    for key, wanted in target.items():
        part = report.part(key)
        # Rules of a layout of one tower are about keys below it.
        known = places.theirs(key)
        known = known.removeprefix(f'{layout.tower}.') if layout.tower else known
        if key not in state:
            (report.new if layout.is_new(known) else part.missing).append(key)
            continue
        tensor = state[key]
        if tensor.shape != wanted.shape:
            shapes = f'{tuple(tensor.shape)} -> {tuple(wanted.shape)}'
            rows = len(tensor) if tensor.ndim else 0
            resized = resize_embedding(key, tensor, wanted)
            if resized is None:
                resized = grow_words(key, tensor, wanted, layout.new_rows.get(known, 0))
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
    for key in state:
        name = key.partition('.')[0]
        if key in target:
            continue
        if name not in parts and name in layout.optional_parts:
            report.ignored.setdefault(f'the model has no {name}', []).append(key)
        elif key.startswith(TRAINING_ONLY):
            report.ignored.setdefault('state of another training', []).append(key)
        else:
            report.part(key).unexpected.append(key)
    _refuse(report, misfits, strict_parts, source, target)
    return fitted, report


def _refuse(
    report: LoadReport,
    misfits: Sequence[str],
    strict_parts: Sequence[str],
    source: Translated,
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
            f'the file: {shorten(list(source.checkpoint.weights))}; of the model: {shorten(list(target))}'
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
