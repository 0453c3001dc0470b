"""What of a task model trains, and what it is counted as."""

from torch import nn

from vlpeft.adaptation.counts import count_by_role

TRAINABLE = ('heads', 'all')


def freeze(model: nn.Module, trainable: str) -> None:
    """Sets ``requires_grad`` of what the parts declare (``'heads'``), or of everything (``'all'``), but never of
    the model's ``no_grad_parts``.
    """
    for name, param in model.named_parameters():
        param.requires_grad_(trainable == 'all' or name in model.roles)
    for path in model.no_grad_parts:
        model.get_submodule(path).requires_grad_(False)


def count_parameters(model: nn.Module) -> dict:
    """Counts the unique parameters of a task model, as :func:`vlpeft.adaptation.counts.count_by_role` says.

    Momentum copies and queues are buffers and not counted.
    """
    return count_by_role(model.named_parameters(), model.role_of, model.tower_of)
