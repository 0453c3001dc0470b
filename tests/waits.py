"""Counts how often a program waits for a device, on tensors that stand for those of one."""

from collections import Counter

import torch
from torch import Tensor

#: What reads values, for which a GPU has to be done; ``cpu`` carries tensors over.
READS = {
    Tensor.__bool__,
    Tensor.__float__,
    Tensor.__index__,
    Tensor.__int__,
    Tensor.cpu,
    Tensor.item,
    Tensor.nonzero,
    Tensor.numpy,
    Tensor.tolist,
    torch.equal,
    torch.nonzero,
}


class OnDevice(Tensor):
    """A tensor, and whatever is computed from it until ``cpu`` carries it over, of which every read counts.

    Attributes:
        waits: By name of the operation; of all such tensors.
    """

    waits: Counter = Counter()

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        found = super().__torch_function__(func, types, args, kwargs or {})
        if func in READS:
            OnDevice.waits[func.__name__] += 1
        return found.as_subclass(Tensor) if func is Tensor.cpu else found


def on_device(tensor: Tensor) -> OnDevice:
    """The same values; counting begins anew."""
    OnDevice.waits = Counter()
    return tensor.as_subclass(OnDevice)
