"""What is trained, counted by role and tower: one role per unique parameter, sums equal the total."""

from collections import Counter

from torch import nn

TRAINABLE = ('heads', 'all')


def freeze(model: nn.Module, trainable: str) -> None:
    """Sets ``requires_grad`` from what the parts declare.

    ``'heads'``: the backbones (but for the model's ``trained_parts`` and ``trained_norms``) and the heads' declared
    constants are frozen; heads, adapters and task embeddings train.
    ``'all'``: everything trains.
    The model's ``no_grad_parts`` are frozen in either case.

    Raises:
        ValueError: Unknown ``trainable``.
    """
    if trainable not in TRAINABLE:
        raise ValueError(f'trainable={trainable!r}; choose from {TRAINABLE}')
    if trainable == 'all':
        model.requires_grad_(True)
    else:
        _freeze_base(model)
    for path in model.no_grad_parts:
        model.get_submodule(path).requires_grad_(False)


def _freeze_base(model: nn.Module) -> None:
    for name in model.backbones:
        getattr(model, name).requires_grad_(False)
    for head in model.heads.values():
        for name in getattr(head, 'constants', ()):
            head.get_parameter(name).requires_grad_(False)
    for path in model.trained_parts:
        model.get_submodule(path).requires_grad_(True)
    for name in model.trained_norms:
        model.get_parameter(name).requires_grad_(True)


def count_parameters(model: nn.Module) -> dict:
    """Counts the unique parameters of a model with towers, heads and an adapter.

    Momentum copies and queues are buffers and not counted.

    Returns:
        ``total``, ``trainable``, ``percent``, ``by_role``, ``trainable_by_role``, ``by_tower``, ``adapter_bytes``
        (bytes of the trained tensors in their present dtype, what an adapter checkpoint holds).
    """
    by_role: Counter = Counter()
    trainable_by_role: Counter = Counter()
    by_tower: Counter = Counter()
    adapter_bytes = 0
    for name, param in model.named_parameters():
        role = model.role_of(name)
        by_role[role] += param.numel()
        by_tower[model.tower_of(name)] += param.numel()
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
