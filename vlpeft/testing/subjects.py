"""A kind of model that the contract is checked on: how it is made, a batch, and what to look at of its output."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Subject:
    """A kind of model.

    Attributes:
        build: Makes one; weights and mode do not matter.
        inputs: Keyword arguments for a batch of so many samples.
        output: The tensor (B, …) to look at in what the model returns.
        dtype: Of its weights. Defaults to float64, in which equal means equal.
        prompts: For models with ``generate``: its keyword arguments for a batch of so many samples. Defaults to None.
        towers: As for :func:`vlpeft.attach`. Defaults to None: they are found.
        rows_each: Rows that a sample has in some towers, as with frames. Defaults to 1.
    """

    build: Callable[[], nn.Module]
    inputs: Callable[[int], dict[str, Any]]
    output: Callable[[Any], Tensor]
    dtype: torch.dtype = torch.float64
    prompts: Callable[[int], dict[str, Any]] | None = None
    towers: Mapping[str, str] | None = None
    rows_each: int = 1

    @property
    def close(self) -> dict[str, float]:
        """Tolerances where equal numbers are computed in another order."""
        return dict(rtol=1e-9, atol=1e-10) if self.dtype == torch.float64 else dict(rtol=1e-4, atol=1e-5)

    def model(self, dtype: torch.dtype | None = None, seed: int = 0) -> nn.Module:
        """In eval mode, with weights N(0, 0.2) and gains N(1, 0.2), so that mistakes show."""
        model = self.build().to(dtype or self.dtype)
        # mmpretrain's backbones return nothing here.
        model.eval()
        return randomise(model, seed)

    def run(self, model: nn.Module, batch: int = 3, rows: slice = slice(None)) -> Tensor:
        """Output of some rows of a batch."""
        dtype = next(model.parameters()).dtype
        given = {}
        for name, value in self.inputs(batch).items():
            if isinstance(value, Tensor):
                value = (value.to(dtype) if value.is_floating_point() else value)[rows]
            given[name] = value
        return self.output(model(**given))


@torch.no_grad()
def randomise(module: nn.Module, seed: int, std: float = 0.2) -> nn.Module:
    """Draws every parameter from N(0, std), gains of norms from N(1, std)."""
    generator = torch.Generator().manual_seed(seed)
    for name, param in module.named_parameters():
        gain = name.endswith('weight') and param.ndim == 1
        param.copy_(torch.randn(param.shape, generator=generator) * std + gain)
    return module
