"""Batches of texts in which little padding is computed."""

import torch
from torch import Tensor

#: What a pass costs besides its tokens, in tokens: reading all weights, and on a GPU launching its kernels.
PASS_WORTH = dict(cpu=8)
OTHER_PASS_WORTH = 1024


def length_batches(lengths: Tensor, most: int, device: torch.device) -> list[Tensor]:
    """Texts of one length go together; those of the next length join them where the padding costs less than a pass.

    Args:
        lengths: (n,) in tokens.
        most: Texts of a batch.
        device: Where they will be computed.

    Returns:
        Indices of each batch, rising; together each of the n once.
    """
    worth = PASS_WORTH.get(device.type, OTHER_PASS_WORTH)
    sizes, size, padding, shorter = [], 0, 0, 0
    for length, count in zip(*(found.tolist() for found in lengths.unique(return_counts=True))):
        padding += size * (length - shorter)
        if padding > worth:
            sizes.append(size)
            size = padding = 0
        size, shorter = size + count, length
    runs = lengths.argsort().split([*sizes, size])
    return [batch.sort().values for run in runs for batch in run.split(most)]
