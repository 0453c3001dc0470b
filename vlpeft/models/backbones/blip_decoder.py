"""BLIP's text decoder: the encoder's blocks under a causal mask, and a language-model head."""

from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from vlpeft.registry import MODELS

from .attention import CrossContext
from .blip_text import BlipTextEncoder, SelfCache


class PredictionTransform(nn.Module):
    """Dense, GELU, LayerNorm before the vocabulary projection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.LayerNorm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: Tensor) -> Tensor:
        return self.LayerNorm(F.gelu(self.dense(x)))


class LMPredictionHead(nn.Module):
    """Hidden states to vocabulary logits."""

    def __init__(self, width: int, vocab_size: int) -> None:
        super().__init__()
        self.transform = PredictionTransform(width)
        self.decoder = nn.Linear(width, vocab_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.transform(x))


@MODELS.register_module()
class BlipTextDecoder(BaseModule):
    """BLIP's causal text decoder: the same blocks under a causal mask, with a language-model head.

    Args:
        tie_word_embeddings: Whether word embeddings and vocabulary projection are one tensor, as in BLIP. Defaults to
            True.
        **encoder: Arguments of :class:`BlipTextEncoder`.
    """

    def __init__(self, tie_word_embeddings: bool = True, **encoder) -> None:
        super().__init__()
        self.tie_word_embeddings = tie_word_embeddings
        self.bert = BlipTextEncoder(**encoder)
        self.cls = nn.ModuleDict(dict(predictions=LMPredictionHead(self.bert.width, self.bert.vocab_size)))
        if tie_word_embeddings:
            self.cls['predictions'].decoder.weight = self.bert.embeddings.word_embeddings.weight

    def init_weights(self) -> None:
        self.bert.init_weights()

    def probe_input(self) -> dict[str, Any]:
        """That of its encoder."""
        return self.bert.probe_input()

    def forward(
        self, ids: Tensor, mask: Tensor, context: CrossContext | None = None, cache: SelfCache | None = None
    ) -> Tensor:
        """Next-token logits (P, L, vocab_size); arguments as in :meth:`BlipTextEncoder.forward`."""
        return self.cls['predictions'](self.bert(ids, mask, context, causal=True, cache=cache))
