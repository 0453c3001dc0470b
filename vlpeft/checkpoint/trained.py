"""Loading what was trained: any dialect, the rest completed from the base, which is checked."""

from typing import Any, Mapping

from mmengine.logging import print_log
from torch import nn

from .dialects import weights_of
from .identity import check_base
from .load import MOMENTUM, load_into
from .new_rows import join_new_rows
from .report import LoadReport

#: Parts that only training needs.
TRAINING_ONLY = (MOMENTUM, 'queue.')


def load_trained(model: nn.Module, checkpoint: Mapping[str, Any], origin: str) -> LoadReport:
    """Loads a task checkpoint into a model whose base is already there, and logs what it did.

    Args:
        model (nn.Module): An :class:`AdaptedModel`.
        checkpoint (dict): What ``read_checkpoint`` returned.
        origin (str): Name of the checkpoint in messages.

    Returns:
        LoadReport: What was loaded and what is missing.

    Raises:
        CheckpointError: The file was trained on another base, or this model has none; or it does not fit.
    """
    recorded = checkpoint.get('meta', {}).get('base')
    frozen = model.frozen_keys() - set(weights_of(checkpoint))
    if recorded is not None and frozen:
        check_base(recorded, model.base, origin)
    checkpoint = dict(state_dict=join_new_rows(weights_of(checkpoint), model.state_dict(), origin))
    report = load_into(model, checkpoint, origin=origin)
    if recorded is not None and frozen:
        print_log(f'{origin}: {len(report.loaded)} tensors loaded, {len(frozen)} frozen ones are those of the base '
                  f'{recorded["name"]}', 'current')
    else:
        print_log(str(report), 'current')
    return report
