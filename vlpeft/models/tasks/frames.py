r"""What a clip adds to an image: frame-aware attention and temporal embedding (UniAdapter, §3.3).

w_t = T · softmax_t(⟨text, frame_t⟩ / 4)     factors on the keys of frame t's patches, without gradient
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@torch.no_grad()
def frame_weights(text: Tensor, frames: Tensor) -> Tensor:
    """How much each frame of clips counts for texts, 1 on average.

    Args:
        text: Unit-length text features (P, E).
        frames: Unit-length frame features (P, T, E).

    Returns:
        (P, T).
    """
    return torch.einsum('pe,pte->pt', text, frames).div(4).softmax(-1) * frames.shape[1]


@torch.no_grad()
def frame_key_weights(text: Tensor, frames: Tensor, tokens_per_frame: int, extra: int) -> Tensor:
    """Factors on the cross-attention keys of clips, frame-major.

    Args:
        text: Unit-length text features (P, E).
        frames: Unit-length frame features (P, T, E).
        tokens_per_frame: K + N.
        extra: K, class and register tokens, which stand first.

    Returns:
        (P, T · (K + N)), 1 at the first K of each frame.
    """
    keys = frame_weights(text, frames)[:, :, None].repeat(1, 1, tokens_per_frame)
    keys[:, :, :extra] = 1
    return keys.flatten(1)


class TemporalEmbedding(nn.Module):
    """A learned vector per frame, added to its vision tokens before cross-attention.

    Args:
        frames: T of the table; clips of other lengths use it resized linearly.
        width: D.
        trained: Defaults to True; False keeps the initial or loaded values.
    """

    def __init__(self, frames: int, width: int, trained: bool = True) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(1, frames, width), requires_grad=trained)
        nn.init.trunc_normal_(self.table, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, N, D) to the same shape."""
        table = self.table
        if tokens.shape[1] != table.shape[1]:
            table = F.interpolate(table.transpose(1, 2), tokens.shape[1], mode='linear').transpose(1, 2)
        return tokens + table[:, :, None]
