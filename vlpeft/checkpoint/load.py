"""Loading a checkpoint of any dialect into a model."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from .checkpoint import Checkpoint
from .fit import MOMENTUM, fit_model
from .report import LoadReport
from .translate import translate


def load_into(
    model: nn.Module, checkpoint: Checkpoint, *, dialect: str | None = None, strict_parts: Sequence[str] = ()
) -> LoadReport:
    """Fill a model from a checkpoint of any dialect. Momentum copies that it lacks are made from the loaded weights.

    Args:
        model: Its state dict decides what is wanted.
        checkpoint: ``Checkpoint.read(path)``, or ``Checkpoint.of(state)`` of a state dict.
        dialect: The layout. Defaults to None: told from the keys.
        strict_parts: Parts of the model (first key segment) that must be filled completely, as ``('vision', 'text')``
            for a base. What is missing elsewhere is reported. Defaults to ().

    Returns:
        What was loaded, missing, unexpected, resized and ignored.

    Raises:
        CheckpointError: Unknown layout, nothing to fill, another geometry, or a strict part left incomplete. The
            model is then unchanged.
    """
    source = translate(checkpoint, dialect, [name for name, _ in model.named_parameters()])
    state, report = fit_model(source, model, strict_parts)
    put(model, state, report)
    return report


def put(model: nn.Module, state: Mapping[str, Tensor], report: LoadReport, is_whole: bool = False) -> None:
    """Puts a fitted state dict into the model, and the same into momentum copies that the file lacks.

    Args:
        model: The model.
        state: The state dict.
        report: What it was fitted with.
        is_whole: Whether nothing further fills the model, an :class:`AdaptedModel`: a method that the file lacks starts
            from the weights that are there now. Defaults to False.
    """
    model.load_state_dict(state, strict=False)
    if is_whole:
        model.start_method(state)
    if stale := {key.removeprefix(MOMENTUM) for key in report.missing if key.startswith(MOMENTUM)}:
        model.momentum.copy_from(model, stale)
    if hasattr(model, 'filled'):
        model.filled |= set(state)
