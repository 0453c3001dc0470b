"""What contrastive heads share: features of both towers in one space."""

from typing import NamedTuple

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F


class Features(NamedTuple):
    """L2-normalised features of clips and texts, each (B, E)."""

    vision: Tensor
    text: Tensor


class ContrastiveHead(BaseModule):
    """Projections of both towers' pooled states.

    Args:
        vision_width, text_width: Widths of these states.
        embed_width: E; None: the towers end in one space already, and nothing projects.
    """

    #: Whether the loss compares with features of momentum weights.
    uses_momentum = False

    def __init__(self, vision_width: int, text_width: int, embed_width: int | None) -> None:
        super().__init__()
        self.vision_proj = nn.Identity() if embed_width is None else nn.Linear(vision_width, embed_width)
        self.text_proj = nn.Identity() if embed_width is None else nn.Linear(text_width, embed_width)

    def make_queue(self) -> nn.Module | None:
        """The memory of earlier features that the loss compares with. Defaults to None, there is none."""
        return None

    def project_vision(self, states: Tensor) -> Tensor:
        """(…, Dv) to unit-length (…, E)."""
        return F.normalize(self.vision_proj(states), dim=-1)

    def project_text(self, states: Tensor) -> Tensor:
        """(…, Dt) to unit-length (…, E)."""
        return F.normalize(self.text_proj(states), dim=-1)
