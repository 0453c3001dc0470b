"""Second stage of retrieval: matching scores of chosen pairs, clip by clip.

Keys and values of a clip do not depend on the text, so they are projected once and all its texts meet them as one long
query; texts are cut to their real length, sorted so that a batch wastes little padding. Both are exact.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vlpeft.models.backbones import CrossContext, KeyValue
from vlpeft.models.tokenizer import pad

from .retriever import Retriever


class TextBank(NamedTuple):
    """All captions: unpadded ``tokens`` and unit-length ``features`` (n, E)."""

    tokens: Sequence[Tensor]
    features: Tensor


class ClipBank(NamedTuple):
    """Clips of this process: ``tokens`` {clip: (S, D)}, where convenient off the device, and ``frames`` (n, T, E) of
    all clips.
    """

    tokens: Mapping[int, Tensor]
    frames: Tensor


@torch.no_grad()
def score_pairs(
    model: Retriever,
    clips: ClipBank,
    texts: TextBank,
    pairs: Mapping[int, Sequence[int]],
    clips_per_chunk: int,
    texts_per_batch: int,
    device: torch.device,
    advance: Callable[[int], None] = lambda count: None,
) -> Mapping[int, Tensor]:
    """Match logits of text-clip pairs.

    Args:
        model: In eval mode.
        clips: Must hold the tokens of every clip in ``pairs``.
        texts: All captions.
        pairs: For each clip its texts.
        clips_per_chunk: Clips whose keys and values are held at a time; with ``texts_per_batch`` it bounds memory.
        texts_per_batch: Texts of one clip scored in a pass.
        device: Where to compute.
        advance: Called with the number of pairs just scored, for a progress bar.

    Returns:
        For each clip the logits of its texts, in the given order, on the CPU.
    """
    scores = {}
    order = list(pairs)
    for start in range(0, len(order), clips_per_chunk):
        chunk = order[start : start + clips_per_chunk]
        states = torch.stack([clips.tokens[clip] for clip in chunk]).to(device, non_blocking=True)
        layers = model.text.project_context(states)
        per_frame = states.shape[1] // clips.frames.shape[1]
        for row, clip in enumerate(chunk):
            own = layers.rows(slice(row, row + 1))
            scores[clip] = _score_clip(
                model, own, clips.frames[clip], texts, pairs[clip], texts_per_batch, per_frame, device
            )
            advance(len(pairs[clip]))
    return scores


def _score_clip(
    model: Retriever,
    layers: list[KeyValue],
    frames: Tensor,
    texts: TextBank,
    wanted: Sequence[int],
    texts_per_batch: int,
    per_frame: int,
    device: torch.device,
) -> Tensor:
    lengths = torch.tensor([len(texts.tokens[text]) for text in wanted])
    order = lengths.argsort()
    logits = torch.empty(len(wanted), dtype=torch.float32)
    parts = []
    for batch in order.split(texts_per_batch):
        chosen = [wanted[i] for i in batch.tolist()]
        tokens = pad([texts.tokens[text] for text in chosen], device)
        features = texts.features[torch.tensor(chosen, device=texts.features.device)].to(device)
        weights = model.key_weights(features, frames.to(device).expand(len(chosen), -1, -1), per_frame)
        states = model.match(tokens, CrossContext(layers, key_weights=weights))
        parts.append(model.itm_head(states)[:, 1].float())
    logits[order] = torch.cat(parts).cpu()
    return logits
