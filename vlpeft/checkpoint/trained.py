"""Loading what was trained: any dialect, the rest completed from the base, which is checked."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from .coverage import check_load, meta_of, misfit, random_parts, weight_names
from .dialects import weights_of
from .errors import CheckpointError
from .identity import check_base
from .load import fit, put
from .new_rows import join_new_rows
from .report import LoadReport
from .tied import tied_names, unique_state


def load_trained(
    model: nn.Module, checkpoint: Mapping[str, Any], origin: str, start: bool = False, allow_random: bool = False
) -> LoadReport:
    """Loads a task checkpoint into a model whose base is already there, and logs what it did.

    Args:
        model: An :class:`AdaptedModel`.
        checkpoint: What ``read_checkpoint`` returned.
        origin: Name of the checkpoint in messages.
        start: Whether training starts from it, which may fill less (:mod:`.coverage`). Defaults to False.
        allow_random: Whether parameters may be left unfilled. Defaults to False.

    Returns:
        What was loaded; missing is what neither the file nor the base gives.

    Raises:
        CheckpointError: The file was trained on another base, or this model has none; it does not fit; or it breaks
            the rule of :mod:`.coverage`. The model is then unchanged.
    """
    recorded = meta_of(checkpoint).get('base')
    joined = dict(state_dict=join_new_rows(weights_of(checkpoint), model.state_dict(), origin))
    try:
        state, report = fit(joined, unique_state(model), origin=origin, tied=tied_names(model))
    except CheckpointError as error:
        raise CheckpointError(f'{misfit(model, checkpoint, origin)}{error}') from error
    rest = [name for name in weight_names(model) if name not in model.declared and name not in state]
    if recorded is not None and rest:
        check_base(recorded, model.base, origin)
    check_load(model, report, checkpoint, model.base_keys, start, allow_random)
    _forget_replaced(model, state)
    put(model, state, report)
    report.settle(random_parts(model))
    print_log(str(report), 'current')
    if recorded is not None and rest:
        print_log(f'{origin}: {len(rest)} frozen tensors are those of the base {recorded["name"]}', 'current')
    return report


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
