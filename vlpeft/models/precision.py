"""Number formats of what is summed and compared."""

import torch
from torch import Tensor


def at_least_float32(scores: Tensor) -> Tensor:
    """Scores in float32, or in float64 if they are: losses and ranks are never taken in half precision, also under
    autocast.
    """
    return scores.to(torch.promote_types(scores.dtype, torch.float32))
