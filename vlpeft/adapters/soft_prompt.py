r"""A soft prompt: P learned rows before a language model's word embeddings, the same for every sample.

    prompt = E                                    E ∈ R^{P×W} drawn from N(0, 1)
    prompt = W_2 tanh(W_1 E + c_1) + c_2          with an MLP

Lester et al., "The Power of Scale for Parameter-Efficient Prompt Tuning", EMNLP 2021; MLP: Li and Liang,
"Prefix-Tuning", ACL 2021.
"""

import torch
from torch import Tensor, nn


class SoftPrompt(nn.Module):
    """P rows of width W.

    Args:
        length: P.
        width: W.
        mlp: Whether an MLP of hidden width W makes the rows of the table.
    """

    def __init__(self, length: int, width: int, mlp: bool) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(length, width))
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width)) if mlp else None

    def forward(self) -> Tensor:
        """The prompt, (P, W)."""
        return self.table if self.mlp is None else self.mlp(self.table)

    def fill(self, embeddings: Tensor, rows: slice) -> Tensor:
        """Puts the prompt into ``rows`` of embeddings (B, L, W)."""
        prompt = self().to(embeddings.dtype).expand(len(embeddings), -1, -1)
        return torch.cat([embeddings[:, : rows.start], prompt, embeddings[:, rows.stop :]], 1)
