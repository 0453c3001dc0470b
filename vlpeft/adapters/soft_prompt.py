r"""Learned rows, the same for every sample.

    rows = E                                      E ∈ R^{P×W} drawn from N(0, 1)
    rows = W_2 tanh(W_1 E + c_1) + c_2            with an MLP of hidden width H

Lester et al., "The Power of Scale for Parameter-Efficient Prompt Tuning", EMNLP 2021; MLP: Li and Liang,
"Prefix-Tuning", ACL 2021.
"""

import torch
from torch import Tensor, nn


class SoftPrompt(nn.Module):
    """P rows of width W.

    Args:
        length: P.
        width: Of the table: W, unless an MLP leads to another one.
        hidden: H, of the MLP that makes the rows of the table. Defaults to None, no MLP.
        out_features: W behind an MLP. Defaults to None, that of the table.
        scale: By what the tower multiplies rows that enter; they are divided by it, so that table or MLP give what
            reaches the first block. Defaults to 1.
    """

    def __init__(
        self,
        length: int,
        width: int,
        hidden: int | None = None,
        out_features: int | None = None,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.table = nn.Parameter(torch.randn(length, width))
        self.mlp = (
            None
            if hidden is None
            else nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, out_features or width))
        )

    def forward(self) -> Tensor:
        """The rows, (P, W)."""
        rows = self.table if self.mlp is None else self.mlp(self.table)
        return rows if self.scale == 1 else rows / self.scale

    def fill(self, embeddings: Tensor, rows: slice) -> Tensor:
        """Puts them into ``rows`` of embeddings (B, L, W)."""
        prompt = self().to(embeddings.dtype).expand(len(embeddings), -1, -1)
        return torch.cat([embeddings[:, : rows.start], prompt, embeddings[:, rows.stop :]], 1)
