"""A retrieval training step as UniAdapter's released code takes it.

A full momentum copy of the model, averaged tensor by tensor, the adapters once for each of their two towers; texts
padded to 35 tokens; vision tokens copied for each of the 3B pairs that are matched, keys and values projected for each;
negatives drawn row by row; one update of the optimiser for each tensor.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from vlpeft.models.tokenizer import pad

from .plain_blip import PlainBlip, linear

PADDED = 35
MOMENTUM = ('visual_encoder', 'text_encoder', 'vision_proj', 'text_proj', 'adapters')


class PlainRetrieval:
    """The step.

    Args:
        weights: Of a released checkpoint, momentum copies included; what trains requires a gradient.
        queue: Features ``vision`` and ``text`` (Q, E), and ``ids`` (Q,).
        heads: Heads of every attention.
        frames: T of a clip; keys are weighted by frame where there are several.
        alpha: Weight of the soft targets.
        decay: Of the momentum copy; the adapters, which both towers own, have it twice.
        encode_id: Id of ``[ENC]``.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        queue: Mapping[str, Tensor],
        heads: int,
        frames: int,
        alpha: float,
        decay: float,
        encode_id: int,
    ) -> None:
        self.weights, self.queue = weights, queue
        self.blip = PlainBlip(weights, heads, frames)
        self.alpha, self.decay, self.encode_id = alpha, decay, encode_id
        self.pointer = 0

    @torch.no_grad()
    def update_momentum(self) -> None:
        """θ̄ ← m θ̄ + (1 − m) θ of every tensor, frozen ones too."""
        for name, value in self.weights.items():
            part, _, rest = name.partition('.')
            if part in MOMENTUM:
                for _ in range(2 if part == 'adapters' else 1):
                    average = self.weights[f'{part}_m.{rest}']
                    average.copy_(average * self.decay + value * (1 - self.decay))

    def features(self, clips: Tensor, ids: Tensor, mask: Tensor, copy: str = ''):
        """Vision tokens (B, S, D), features of clips and of frames, and of texts."""
        blip, batch = self.blip, len(clips)
        tokens = blip.vision(clips.flatten(0, 1), copy).unflatten(0, (batch, -1))
        clip = blip.unit(tokens[:, :, 0].mean(1), f'vision_proj{copy}')
        frames = blip.unit(tokens[:, :, 0], f'vision_proj{copy}').detach()
        text = blip.unit(blip.text(ids, mask, copy=copy)[:, 0], f'text_proj{copy}')
        return tokens.flatten(1, 2), clip, frames, text

    def contrastive(self, clip: Tensor, text: Tensor, clip_m: Tensor, text_m: Tensor, clip_ids: Tensor) -> Tensor:
        """The contrastive loss with soft targets; the queue takes the batch in."""
        temperature = self.weights['temp']
        clip_all = torch.cat([clip_m.T, self.queue['vision'].clone().T], 1)
        text_all = torch.cat([text_m.T, self.queue['text'].clone().T], 1)
        ids = torch.cat([clip_ids, self.queue['ids']])
        same = (clip_ids[:, None] == ids[None]).float()
        same = same / same.sum(1, keepdim=True)
        with torch.no_grad():
            clip_targets = self.alpha * (clip_m @ text_all / temperature).softmax(1) + (1 - self.alpha) * same
            text_targets = self.alpha * (text_m @ clip_all / temperature).softmax(1) + (1 - self.alpha) * same
        losses = [
            -(F.log_softmax(clip @ text_all / temperature, 1) * clip_targets).sum(1).mean(),
            -(F.log_softmax(text @ clip_all / temperature, 1) * text_targets).sum(1).mean(),
        ]
        end = self.pointer + len(clip_ids)
        self.queue['vision'][self.pointer : end] = clip_m
        self.queue['text'][self.pointer : end] = text_m
        self.queue['ids'][self.pointer : end] = clip_ids
        self.pointer = end % len(self.queue['ids'])
        return (losses[0] + losses[1]) / 2

    @torch.no_grad()
    def negatives(self, logits: Tensor, ids: Tensor) -> list[int]:
        """For each row another of the batch, drawn from softmax(logits) as torch.multinomial draws it."""
        weights = logits.softmax(1) + 1e-12
        noise = torch.empty_like(logits).exponential_()
        chosen = []
        for row in range(len(ids)):
            allowed = torch.where(ids == ids[row], 0.0, weights[row])
            chosen.append((allowed / noise[row]).argmax().item())
        return chosen

    def loss(self, clips: Tensor, texts: list[list[int]], clip_ids: Tensor) -> dict[str, Tensor]:
        """``loss_itc`` and ``loss_itm`` of B clips (B, T, 3, H, W) and token ids."""
        ids, mask = pad([torch.tensor(row) for row in texts], clips.device, PADDED)
        tokens, clip, frames, text = self.features(clips, ids, mask)
        self.update_momentum()
        with torch.no_grad():
            _, clip_m, _, text_m = self.features(clips, ids, mask, '_m')
        itc = self.contrastive(clip, text, clip_m, text_m, clip_ids)
        with torch.no_grad():
            for_text = self.negatives(text @ clip.T / self.weights['temp'], clip_ids)
            for_clip = self.negatives(clip @ text.T / self.weights['temp'], clip_ids)
        encoded = ids.clone()
        encoded[:, 0] = self.encode_id
        # The pairs that belong together; then each text with a clip, and each clip with a text, that does not.
        positive = self.match(encoded, mask, tokens, text.detach(), frames)
        negative = self.match(
            torch.cat([encoded, torch.stack([encoded[i] for i in for_clip])]),
            torch.cat([mask, torch.stack([mask[i] for i in for_clip])]),
            torch.cat([torch.stack([tokens[i] for i in for_text]), tokens]),
            torch.cat([text, torch.stack([text[i] for i in for_clip])]).detach(),
            torch.cat([torch.stack([frames[i] for i in for_text]), frames]),
        )
        logits = linear(torch.cat([positive, negative]), self.weights, 'itm_head')
        labels = torch.cat([torch.ones(len(positive)), torch.zeros(len(negative))]).long().to(clips.device)
        return dict(loss_itc=itc, loss_itm=F.cross_entropy(logits, labels))

    def match(self, ids: Tensor, mask: Tensor, tokens: Tensor, text: Tensor, frames: Tensor) -> Tensor:
        """``[ENC]`` states (P, D) of P pairs, vision tokens (P, S, D) to each."""
        weights = None
        if self.blip.frames > 1:
            weights = self.blip.frame_weights(text, frames, tokens.shape[1] // self.blip.frames)
        return self.blip.text(ids, mask, tokens, weights)[:, 0]

    def parameters(self) -> list[Tensor]:
        """Every tensor of the model but the momentum copy, as the release hands them to its optimiser."""
        return [value for name, value in self.weights.items() if not name.partition('.')[0].endswith('_m')]

    def resident(self) -> list[Tensor]:
        """What is there between steps: the model, its momentum copy, the queues."""
        return [*self.weights.values(), *self.queue.values()]
