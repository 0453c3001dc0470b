r"""Image-text contrastive head with momentum targets (Li et al., ALBEF, NeurIPS 2021).

    s   = v · [t̄ ; queue] / τ
    y   = α softmax(v̄ · [t̄ ; queue] / τ) + (1 − α) · (same-id targets, uniform over them)
    ℓ   = ½ (CE(s_v→t, y_v→t) + CE(s_t→v, y_t→v))

A bar marks features of the momentum weights, gathered over all processes, so the loss does not depend on their number.
"""

import torch
from mmengine.dist import all_gather
from torch import Tensor, nn
from torch.nn import functional as F

from vlpeft.models.precision import at_least_float32
from vlpeft.registry import MODELS

from .contrastive import ContrastiveHead, Features


class FeatureQueue(nn.Module):
    """Ring buffer of the last momentum features, any size and any batch.

    Args:
        size: Number of entries.
        width: E.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer('vision', F.normalize(torch.randn(size, width), dim=-1))
        self.register_buffer('text', F.normalize(torch.randn(size, width), dim=-1))
        self.register_buffer('ids', torch.full((size,), -100, dtype=torch.long))
        self.register_buffer('pointer', torch.zeros((), dtype=torch.long))

    def push(self, features: Features, ids: Tensor) -> None:
        """Overwrites the oldest entries; of a batch longer than the queue the end stays.

        A pair whose features are not finite leaves the older entry, or all later losses would not be finite either.
        """
        count = min(len(ids), self.size)
        slots = (self.pointer + torch.arange(count, device=ids.device)) % self.size
        vision, text = features.vision[-count:].to(self.vision.dtype), features.text[-count:].to(self.text.dtype)
        finite = vision.isfinite().all(1) & text.isfinite().all(1)
        self.vision[slots] = torch.where(finite[:, None], vision, self.vision[slots])
        self.text[slots] = torch.where(finite[:, None], text, self.text[slots])
        self.ids[slots] = torch.where(finite, ids[-count:], self.ids[slots])
        self.pointer.copy_((self.pointer + count) % self.size)


@MODELS.register_module()
class ITCHead(ContrastiveHead):
    """Image-text contrastive head: projections, temperature, momentum targets and queue.

    Args:
        vision_width, text_width: Widths of the towers' CLS states. Default to 768.
        embed_width: E. Defaults to 256.
        queue_size: Entries of the queue; 0 compares within the batch only. Defaults to 57600.
        alpha: Weight of the momentum model's soft targets, reached by a ramp from 0 over the first epoch
            (:class:`vlpeft.engine.hooks.AlphaRampHook`). Defaults to 0.4.
        temperature: Start value of τ, clamped to [0.001, 0.5]. Defaults to 0.07.
    """

    uses_momentum = True
    #: What trains, and under which role it is counted; the temperature is a constant.
    roles = dict(vision_proj='projection', text_proj='projection')

    def __init__(
        self,
        vision_width: int = 768,
        text_width: int = 768,
        embed_width: int = 256,
        queue_size: int = 57600,
        alpha: float = 0.4,
        temperature: float = 0.07,
    ) -> None:
        super().__init__(vision_width, text_width, embed_width)
        self.temperature = nn.Parameter(torch.tensor(temperature))
        self.alpha, self.ramp = alpha, 1.0
        self.embed_width, self.queue_size = embed_width, queue_size

    def make_queue(self) -> FeatureQueue | None:
        """A queue of ``queue_size`` entries, or None for 0."""
        return FeatureQueue(self.queue_size, self.embed_width) if self.queue_size else None

    @torch.no_grad()
    def clamp_temperature(self) -> None:
        """Keeps τ in [0.001, 0.5], in place."""
        self.temperature.clamp_(0.001, 0.5)

    def loss(self, online: Features, momentum: Features, ids: Tensor, queue: FeatureQueue | None) -> Tensor:
        """The contrastive loss; pushes the gathered momentum features into the queue.

        Args:
            online: Features of this process, with gradient.
            momentum: Features of this process under the momentum weights.
            ids: (B,) clip ids; pairs of equal id are positives of each other.
            queue: Earlier momentum features, or None.
        """
        gathered = Features(*(torch.cat(all_gather(f.detach().contiguous())) for f in momentum))
        gathered_ids = torch.cat(all_gather(ids))
        bank, bank_ids = gathered, gathered_ids
        if queue is not None:
            bank = Features(
                *(
                    torch.cat([new, old.to(new.dtype)])
                    for new, old in ((gathered.vision, queue.vision), (gathered.text, queue.text))
                )
            )
            bank_ids = torch.cat([gathered_ids, queue.ids])
        same = at_least_float32((ids[:, None] == bank_ids[None]).to(online.vision.dtype))
        same = same / same.sum(1, keepdim=True)
        alpha = self.alpha * self.ramp
        losses = []
        for query, soft_query, candidates in (
            (online.vision, momentum.vision, bank.text),
            (online.text, momentum.text, bank.vision),
        ):
            with torch.no_grad():
                soft = at_least_float32(soft_query @ candidates.T / self.temperature).softmax(1)
                targets = alpha * soft + (1 - alpha) * same
            logits = query @ candidates.T / self.temperature
            losses.append(-(at_least_float32(logits).log_softmax(1) * targets).sum(1).mean())
        if queue is not None:
            queue.push(gathered, gathered_ids)
        return (losses[0] + losses[1]) / 2
