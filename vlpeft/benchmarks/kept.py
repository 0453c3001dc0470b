"""What autograd keeps of a forward pass, counted tensor by tensor: the same on every machine."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Kept:
    """The bytes that autograd keeps of a forward pass for the backward pass.

    Args:
        parameters: What is not counted, views of it included.
    """

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        self.own = {param.untyped_storage().data_ptr() for param in parameters}
        self.sizes: dict[int, int] = {}

    @property
    def total(self) -> int:
        """Bytes of what was kept, views of one storage once."""
        return sum(self.sizes.values())

    def pack(self, tensor: Tensor) -> Tensor:
        """Counts a tensor that is kept."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.own:
            # Storages live as long as they are kept, so that no other takes their place.
            self.sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    def during(self, run: Callable[[], Any]) -> Any:
        """What ``run`` returns, while all that is kept is counted."""
        with torch.autograd.graph.saved_tensors_hooks(self.pack, lambda tensor: tensor):
            return run()
