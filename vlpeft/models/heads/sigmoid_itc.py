r"""Image-text contrastive head with a loss for each pair alone.

    ℓ = −(1/B) Σ_i Σ_j log σ(z_ij (t x_i · y_j + b)),   t = exp(t′),   z_ij = 1 for pairs of one clip, else −1

B is the batch of all processes. Each computes the rows of its own clips against everyone's texts, so every pair is
there exactly once. Zhai et al., "Sigmoid Loss for Language Image Pre-Training", ICCV 2023 (SigLIP).
"""

import math

import torch
from mmengine.dist import all_gather, get_world_size
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather as all_gather_with_grad
from torch.nn import functional as F

from vlpeft.models.precision import at_least_float32
from vlpeft.registry import MODELS

from .contrastive import ContrastiveHead, Features


@MODELS.register_module()
class SigmoidITCHead(ContrastiveHead):
    """Image-text contrastive head with SigLIP's sigmoid loss, which takes neither momentum weights nor a queue.

    ``logit_scale`` (t′) and ``logit_bias`` (b) train, as do the projections, if there are any.

    Args:
        vision_width, text_width: Widths of the towers' pooled states; of use with ``embed_width`` only. Default to 768.
        embed_width: E of linear projections. Defaults to None: SigLIP has none, its towers pool into one space.
        logit_scale: Start value of t′. Defaults to log 10, as in SigLIP's training.
        logit_bias: Start value of b. Defaults to -10.
    """

    def __init__(
        self,
        vision_width: int = 768,
        text_width: int = 768,
        embed_width: int | None = None,
        logit_scale: float = math.log(10),
        logit_bias: float = -10.0,
    ) -> None:
        super().__init__(vision_width, text_width, embed_width)
        self.logit_scale = nn.Parameter(torch.tensor([logit_scale]))
        self.logit_bias = nn.Parameter(torch.tensor([logit_bias]))
        projections = {} if embed_width is None else dict(vision_proj='projection', text_proj='projection')
        self.roles = dict(projections, logit_scale='temperature', logit_bias='temperature')

    @property
    def temperature(self) -> Tensor:
        """1 / t, by which similarities are divided where they draw negatives."""
        return (-self.logit_scale).exp()

    def logits(self, features: Features) -> Tensor:
        """t x_i · y_j + b of all clips (B) and texts (n), (B, n)."""
        return features.vision @ features.text.T * self.logit_scale.exp() + self.logit_bias

    def loss(self, features: Features, ids: Tensor) -> Tensor:
        """This process's share of the loss; the mean over all processes, as of their gradients, is the whole.

        Args:
            features: Of this process, with gradient.
            ids: (B,) clip ids; every text of a clip belongs to it, be it of another pair.
        """
        texts, text_ids = features.text, ids
        if get_world_size() > 1:
            texts = torch.cat(all_gather_with_grad(features.text.contiguous()))
            text_ids = torch.cat(all_gather(ids))
        logits = at_least_float32(self.logits(Features(features.vision, texts)))
        signs = torch.where(ids[:, None] == text_ids[None], 1.0, -1.0)
        return -F.logsigmoid(signs * logits).sum(1).mean()
