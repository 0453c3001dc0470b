r"""Vision tokens for a language model, from grid features.

    v = N(W_f f) + N(W_p box) + E_img[image] + E_tok[V - 1 - k]      f: max-pooled cell k of the image's grid

N is the language model's norm. Boxes are all zero, so the second term is one learned vector. E_tok is the frozen table
of word embeddings, whose last rows are the order tokens ``<vis_extra_id_k>``; k starts anew with every image.

Cho et al., "Unifying Vision-and-Language Tasks via Text Generation", ICML 2021 (VL-T5); pooling: Sung et al.,
"VL-Adapter", CVPR 2022.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORMS = dict(bart=nn.LayerNorm, t5=nn.RMSNorm)
BOX = 5
#: Rows of the image embedding: NLVR2 shows two.
IMAGES = 2


def pool_grid(features: Tensor, side: int) -> Tensor:
    """Max-pools square grids (…, N, F) to (…, side², F); 7 × 7 to 6 × 6 is a 2 × 2 window with stride 1.

    Raises:
        ValueError: N is no square number, or smaller than side².
    """
    cells = features.shape[-2]
    if cells == side**2:
        return features
    root = math.isqrt(cells)
    if root**2 != cells or root < side:
        raise ValueError(f'features have {cells} cells, which make no square grid of at least {side} x {side}')
    grid = features.flatten(0, -3).unflatten(1, (root, root)).permute(0, 3, 1, 2)
    pooled = F.adaptive_max_pool2d(grid, side).flatten(2).transpose(1, 2)
    return pooled.unflatten(0, features.shape[:-2])


class VisualEmbedding(nn.Module):
    """Grid features of one or more images to vision tokens.

    Args:
        feature_width: F.
        width: D of the language model.
        family: ``'bart'`` (LayerNorm) or ``'t5'`` (RMSNorm).
        eps: Of the norms.
        grid: Side of the grid after pooling.
    """

    roles = dict.fromkeys(('feature', 'position', 'image'), 'visual_projector')

    def __init__(self, feature_width: int, width: int, family: str, eps: float, grid: int) -> None:
        super().__init__()
        norm = NORMS[family]
        self.grid = grid
        self.feature = nn.Sequential(nn.Linear(feature_width, width), norm(width, eps=eps))
        self.position = nn.Sequential(nn.Linear(BOX, width), norm(width, eps=eps))
        self.image = nn.Embedding(IMAGES, width)

    @property
    def cells(self) -> int:
        """Tokens per image."""
        return self.grid**2

    def forward(self, features: Tensor, words: nn.Embedding) -> Tensor:
        """Features (B, I, N, F) to tokens (B, I · grid², D).

        Args:
            features: Of I images each.
            words: The language model's word embeddings.
        """
        tokens = self.feature(pool_grid(features, self.grid))
        images = torch.arange(features.shape[1], device=features.device)
        order = words.num_embeddings - 1 - torch.arange(self.cells, device=features.device)
        tokens = tokens + self.position(tokens.new_zeros(BOX)) + self.image(images)[:, None] + words(order)
        return tokens.flatten(1, 2)
