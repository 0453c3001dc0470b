"""Image-text matching head, and the hard negatives it is trained on.

ℓ = CE(W h_[ENC], matched?)   over B positive pairs, B clips for given texts and B texts for given clips,
negatives drawn from softmax(similarity / τ) over pairs of other ids (Li et al., ALBEF, NeurIPS 2021).
"""

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from vlpeft.models.precision import at_least_float32
from vlpeft.registry import MODELS

IGNORED = -100


@torch.no_grad()
def sample_negatives(logits: Tensor, ids: Tensor, candidate_ids: Tensor) -> tuple[Tensor, Tensor]:
    """Draws one candidate of another id for each row from softmax(logits), in one go (Gumbel-max).

    Args:
        logits: (B, C) similarities over temperature.
        ids: (B,) of the rows.
        candidate_ids: (C,).

    Returns:
        Index (B,) of the drawn candidate, and (B,) whether the row had any candidate at all.
    """
    allowed = ids[:, None] != candidate_ids[None]
    noise = -torch.empty_like(logits, dtype=torch.float32).exponential_().log()
    scores = (at_least_float32(logits) + noise).masked_fill(~allowed, float('-inf'))
    return scores.argmax(1), allowed.any(1)


@MODELS.register_module()
class ITMHead(BaseModule):
    """Image-text matching head: a linear classifier on the ``[ENC]`` state.

    Args:
        width: D. Defaults to 768.
    """

    roles = dict(classifier='itm_head')

    def __init__(self, width: int = 768) -> None:
        super().__init__()
        self.classifier = nn.Linear(width, 2)

    def forward(self, states: Tensor) -> Tensor:
        """[ENC] states (P, D) to logits (P, 2); column 1 is the match."""
        return self.classifier(states)

    def loss(self, states: Tensor, clip_valid: Tensor, text_valid: Tensor) -> Tensor:
        """Cross-entropy over 3B pairs.

        Args:
            states: (3B, D): B positive pairs, B (hard clip, text) pairs, B (clip, hard text) pairs.
            clip_valid, text_valid: (B,) whether that hard negative exists; a row without one is left out.
        """
        labels = torch.cat(
            [torch.ones_like(clip_valid, dtype=torch.long)]
            + [torch.where(valid, 0, IGNORED) for valid in (clip_valid, text_valid)]
        )
        logits = self(states)
        logits = at_least_float32(logits)
        return F.cross_entropy(logits, labels, ignore_index=IGNORED)
