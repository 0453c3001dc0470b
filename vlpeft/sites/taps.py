"""Tensors at taps, the way methods see them, and how they are kept until an edit reads them."""

from typing import Any

import torch
from torch import Tensor, nn

from .schema import Tap


def first_of(output: Any) -> Tensor:
    """Some libraries' blocks return the stream and more as a tuple."""
    return output[0] if isinstance(output, tuple) else output


class AtTap:
    """A tap's tensor the way methods see it: the part that the tap spans, (B, L, D) where it passes flattened."""

    def __init__(self, tap: Tap) -> None:
        self.tap = tap
        self.lengths: torch.Size | None = None

    def on_shape(self, module: nn.Module, args: tuple, output: Any) -> None:
        """Forward hook: keeps B and L."""
        self.lengths = first_of(output).shape[:2]

    def argument(self, args: tuple, kwargs: dict[str, Any]) -> Tensor | None:
        """The tensor among the arguments of a call."""
        position = self.tap.argument
        return args[position] if position is not None and len(args) > position else kwargs.get(self.tap.keyword)

    def see(self, whole: Tensor | None) -> Tensor | None:
        """What methods see of a tensor that passes."""
        if self.tap.shape_of is not None:
            whole = whole.unflatten(0, self.lengths)
        if self.tap.grid:
            whole = whole.flatten(2).transpose(1, 2)
        return whole if self.tap.span is None else whole[..., self.tap.span[0] : self.tap.span[1]]

    def put(self, whole: Tensor, value: Tensor) -> Tensor:
        """What replaces ``whole`` when a method returns ``value`` of what it saw."""
        if self.tap.shape_of is not None:
            value = value.flatten(0, 1)
        if self.tap.grid:
            value = value.transpose(1, 2).unflatten(2, whole.shape[2:])
        if self.tap.span is None:
            return value
        start, stop = self.tap.span
        return torch.cat([whole[..., :start], value, whole[..., stop:]], dim=-1)


class Capture(AtTap):
    """Keeps the tensor that last passed a tap; where the model changes it in place later, a copy."""

    def __init__(self, tap: Tap, copies: bool = False) -> None:
        super().__init__(tap)
        self.copies = copies
        self.value: Tensor | None = None

    def on_input(self, module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        """Forward pre-hook."""
        self._keep(self.argument(args, kwargs))

    def on_output(self, module: nn.Module, args: tuple, output: Any) -> None:
        """Forward hook."""
        self._keep(first_of(output))

    def _keep(self, whole: Tensor | None) -> None:
        seen = self.see(whole)
        self.value = seen.clone() if self.copies and isinstance(seen, Tensor) else seen
