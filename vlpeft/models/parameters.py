"""What of a task model trains, by role and tower."""

from torch import nn

from vlpeft.adaptation.counts import count_by_role


def count_parameters(model: nn.Module) -> dict:
    """Counts the unique parameters of a task model, as :func:`vlpeft.adaptation.counts.count_by_role` says.

    Momentum copies and queues are buffers and not counted.
    """
    return count_by_role(model.named_parameters(), model.role_of, model.tower_of)
