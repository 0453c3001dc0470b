"""Second stage of retrieval: matching scores of chosen pairs, a few clips at a time.

Keys and values of a clip do not depend on the text, so they are projected once and all its texts meet them as one long
query. The texts of these clips are batched by their real length, so that next to no padding is computed. Both are
exact.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vlpeft.models.backbones import CrossContext
from vlpeft.models.tokenizer import pad

from .length_batches import length_batches
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
    pairs_per_batch: int,
    device: torch.device,
    advance: Callable[[int], None] = lambda count: None,
) -> Mapping[int, Tensor]:
    """Match logits of text-clip pairs.

    Args:
        model: In eval mode.
        clips: Must hold the tokens of every clip in ``pairs``.
        texts: All captions.
        pairs: For each clip its texts.
        clips_per_chunk: Clips whose keys and values are held at a time; with ``pairs_per_batch`` it bounds memory.
        pairs_per_batch: Pairs scored in a pass.
        device: Where to compute.
        advance: Called with the number of pairs just scored, for a progress bar.

    Returns:
        For each clip the logits of its texts, in the given order, on the CPU.
    """
    scores = {}
    lengths = torch.tensor([len(tokens) for tokens in texts.tokens])
    order = list(pairs)
    for start in range(0, len(order), clips_per_chunk):
        chunk = order[start : start + clips_per_chunk]
        states = torch.stack([clips.tokens[clip] for clip in chunk]).to(device, non_blocking=True)
        layers = model.text.project_context(states)
        frames = clips.frames[torch.tensor(chunk, device=clips.frames.device)].to(device)
        per_frame = states.shape[1] // frames.shape[1]
        sizes = [len(pairs[clip]) for clip in chunk]
        owner = torch.arange(len(chunk)).repeat_interleave(torch.tensor(sizes))
        wanted = torch.tensor([text for clip in chunk for text in pairs[clip]], dtype=torch.long)
        logits = torch.empty(len(wanted))
        for batch in length_batches(lengths[wanted], pairs_per_batch, device):
            chosen, clip_of = wanted[batch], owner[batch]
            tokens = pad([texts.tokens[text] for text in chosen.tolist()], device)
            features = texts.features[chosen.to(texts.features.device)].to(device)
            weights = model.key_weights(features, frames[clip_of.to(device)], per_frame)
            counts = clip_of.bincount(minlength=len(chunk)).tolist()
            matched = model.match(tokens, CrossContext(layers, key_weights=weights, counts=counts))
            logits[batch] = model.itm_head(matched)[:, 1].float().cpu()
            advance(len(batch))
        scores.update(zip(chunk, logits.split(sizes)))
    return scores
