"""Loading what was trained: any dialect, the rest completed from the base, which is checked."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from .checkpoint import Checkpoint
from .coverage import check_load, misfit, random_parts, weight_names
from .errors import CheckpointError
from .fit import fit_model
from .identity import check_base
from .load import put
from .new_rows import join_new_rows
from .report import LoadReport
from .translate import translate


class Trained(NamedTuple):
    """What a checkpoint gives to a model, which it is not in yet: a state dict of the model, and what is to be said."""

    state: Mapping[str, Tensor]
    report: LoadReport
    note: str


def load_trained(
    model: nn.Module, checkpoint: Checkpoint, start: bool = False, allow_random: bool = False
) -> LoadReport:
    """Loads a task checkpoint into a model whose base is already there, and logs what it did.

    Args, errors: :func:`fit_trained`.

    Returns:
        What was loaded; missing is what neither the file nor the base gives.
    """
    trained = fit_trained(model, checkpoint, start, allow_random)
    put_trained(model, trained)
    return trained.report


def fit_trained(model: nn.Module, checkpoint: Checkpoint, start: bool = False, allow_random: bool = False) -> Trained:
    """What :func:`load_trained` puts into a model, which it leaves as it is.

    Args:
        model: An :class:`AdaptedModel`.
        checkpoint: The checkpoint.
        start: Whether training starts from it, which may fill less (:mod:`.coverage`). Defaults to False.
        allow_random: Whether parameters may be left unfilled. Defaults to False.

    Raises:
        CheckpointError: The file was trained on another base, or this model has none; it does not fit; or it breaks
            the rule of :mod:`.coverage`.
    """
    recorded, origin = checkpoint.meta.get('base'), checkpoint.origin
    source = translate(checkpoint)
    source = source._replace(state=join_new_rows(source.state, model.state_dict(), origin))
    try:
        state, report = fit_model(source, model)
    except CheckpointError as error:
        raise CheckpointError(f'{misfit(model, source)}{error}') from error
    rest = [name for name in weight_names(model) if name not in model.declared and name not in state]
    if recorded is not None and rest:
        check_base(recorded, model.base, origin)
    check_load(model, report, source, model.base_keys, start, allow_random)
    of_base = recorded is not None and rest
    note = f'{origin}: {len(rest)} frozen tensors are those of the base {recorded["name"]}' if of_base else ''
    return Trained(state, report, note)


def put_trained(model: nn.Module, trained: Trained) -> None:
    """Puts what :func:`fit_trained` has found into the model, and logs it."""
    _forget_replaced(model, trained.state)
    put(model, trained.state, trained.report, is_whole=True)
    trained.report.settle(random_parts(model))
    for said in filter(None, (str(trained.report), trained.note)):
        print_log(said, 'current')


def _forget_replaced(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Frozen weights that differ from the base's are no longer its own, and checkpoints must hold them."""
    present = model.state_dict()
    # In one order in all processes, which gather split tensors together.
    replaced = {
        key
        for key in sorted(model.base_keys & state.keys() - model.declared)
        if not _equal(present[key], state[key], model.grown.get(key))
    }
    model.base_keys = model.base_keys - replaced
    model.grown = {key: rows for key, rows in model.grown.items() if key not in replaced}


def _equal(ours: Tensor, theirs: Tensor, rows: int | None) -> bool:
    """Whether two tensors are the same, as far as ``rows``; ours may be split over processes."""
    ours = ours.full_tensor() if hasattr(ours, 'full_tensor') else ours
    theirs = theirs.to(ours)
    return torch.equal(*(ours, theirs) if rows is None else (ours[:rows], theirs[:rows]))
