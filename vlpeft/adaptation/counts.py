"""What is trained, counted by role and tower: one role per unique parameter, sums equal the total."""

from collections import Counter
from collections.abc import Callable, Iterable

from torch import nn


def count_by_role(
    parameters: Iterable[tuple[str, nn.Parameter]], role_of: Callable[[str], str], tower_of: Callable[[str], str]
) -> dict:
    """Counts unique parameters.

    Args:
        parameters: Names and parameters.
        role_of, tower_of: Of a name, what it is counted as.

    Returns:
        ``total``, ``trainable``, ``percent``, ``by_role``, ``trainable_by_role``, ``by_tower``, ``adapter_bytes``
        (bytes of the trained tensors in their present dtype, what an adapter checkpoint holds).
    """
    by_role: Counter = Counter()
    trainable_by_role: Counter = Counter()
    by_tower: Counter = Counter()
    adapter_bytes = 0
    for name, param in parameters:
        role = role_of(name)
        by_role[role] += param.numel()
        by_tower[tower_of(name)] += param.numel()
        if param.requires_grad:
            trainable_by_role[role] += param.numel()
            adapter_bytes += param.numel() * param.element_size()
    total, trainable = sum(by_role.values()), sum(trainable_by_role.values())
    return dict(
        total=total,
        trainable=trainable,
        percent=round(100 * trainable / total, 4),
        by_role=dict(by_role),
        trainable_by_role=dict(trainable_by_role),
        by_tower=dict(by_tower),
        adapter_bytes=adapter_bytes,
    )
