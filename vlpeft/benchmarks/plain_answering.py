"""A question-answering training step as UniAdapter's released code takes it: question states copied for each answer,
keys and values projected for each copy, logits of every position, one update of the optimiser for each tensor.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from vlpeft.models.tokenizer import pad

from .plain_blip import PlainBlip, linear, norm

IGNORED = -100


class PlainAnswering:
    """The step.

    Args:
        weights: Of a released question-answering checkpoint.
        heads: Heads of every attention.
        encode_id, decode_id: Ids of ``[ENC]`` and ``[DEC]``.
    """

    def __init__(self, weights: Mapping[str, Tensor], heads: int, encode_id: int, decode_id: int) -> None:
        self.weights, self.blip = weights, PlainBlip(weights, heads, frames=1)
        self.encode_id, self.decode_id = encode_id, decode_id
        # The release builds a second set of adapters that nothing uses.
        self.unused = [value.detach().clone() for name, value in weights.items() if name.startswith('adapters.')]

    def loss(
        self, clips: Tensor, questions: list[list[int]], answers: list[list[int]], counts: Sequence[int], shares: Tensor
    ) -> dict[str, Tensor]:
        """``loss_vqa`` of B clips (B, T, 3, H, W); questions have ``counts`` answers each, of weights ``shares``."""
        own, batch = self.weights, len(clips)
        tokens = self.blip.vision(clips.flatten(0, 1)).unflatten(0, (batch, -1)).flatten(1, 2)
        ids, mask = pad([torch.tensor(row) for row in questions], clips.device)
        ids[:, 0] = self.encode_id
        states = self.blip.text(ids, mask, tokens)
        owners = [number for number, count in enumerate(counts) for _ in range(count)]
        states = torch.stack([states[number] for number in owners])
        state_mask = torch.stack([mask[number] for number in owners])
        ids, mask = pad([torch.tensor(row) for row in answers], clips.device)
        ids[:, 0] = self.decode_id
        hidden = self.blip.text(ids, mask, states, tower='text_decoder.bert', state_mask=state_mask, causal=True)
        head = 'text_decoder.cls.predictions'
        hidden = norm(F.gelu(linear(hidden, own, f'{head}.transform.dense')), own, f'{head}.transform.LayerNorm', 1e-12)
        logits = linear(hidden, own, f'{head}.decoder')[:, :-1]
        targets = ids.masked_fill(mask == 0, IGNORED)[:, 1:]
        losses = F.cross_entropy(
            logits.transpose(1, 2), targets, ignore_index=IGNORED, label_smoothing=0.1, reduction='none'
        )
        return dict(loss_vqa=(losses.sum(1) * shares).sum() / batch)

    def parameters(self) -> list[Tensor]:
        """Every tensor, as the release hands them to its optimiser."""
        return list(self.weights.values())

    def resident(self) -> list[Tensor]:
        """What is there between steps."""
        return [*self.weights.values(), *self.unused]
