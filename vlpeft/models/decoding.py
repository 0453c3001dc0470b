"""Beam search over any next-token function, in the form of transformers' ``generate``.

A finished sequence scores (Σ log p) / length, its end token included; a query ends when its running beams cannot beat
its worst kept sequence, or at the longest length.
"""

from typing import Callable, List, Optional

import torch
from torch import Tensor

Step = Callable[[Tensor, Optional[Tensor]], Tensor]


@torch.no_grad()
def beam_search(step: Step, start: Tensor, beams: int, end_id: int, max_length: int) -> List[List[int]]:
    """The best sequence of each query.

    Args:
        step: Next-token logits (B · beams, V) of sequences (B · beams, L); its second argument says from which rows of
            the last call these sequences continue (None at first), for caches.
        start: (B, 1) start tokens.
        beams: Sequences kept per query; 1 is greedy search.
        end_id: Token that ends a sequence.
        max_length: In tokens, the start token included.

    Returns:
        For each query its tokens without start and end token.
    """
    count, device = len(start), start.device
    running = start.repeat_interleave(beams, 0)
    # All beams start equal, so only the first may branch.
    scores = torch.full((count, beams), float('-inf'), device=device)
    scores[:, 0] = 0
    finished: List[list] = [[] for _ in range(count)]
    done = [False] * count
    origin = None
    for length in range(1, max_length):
        logits = step(running, origin)
        log_probs = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
        vocabulary = log_probs.shape[-1]
        total = (scores[:, :, None] + log_probs.view(count, beams, -1)).flatten(1)
        # Twice as many, so that as many as wanted go on even if all others end.
        values, indices = total.topk(2 * beams, dim=1)
        tokens, parents = indices % vocabulary, indices // vocabulary
        ended = tokens == end_id
        for query in range(count):
            if done[query]:
                continue
            for rank in range(beams):
                if ended[query, rank]:
                    ids = running[query * beams + parents[query, rank], 1:].tolist()
                    finished[query].append((float(values[query, rank]) / length, ids))
            finished[query] = sorted(finished[query], key=lambda item: -item[0])[:beams]
        go_on = values.masked_fill(ended, float('-inf')).topk(beams, dim=1).indices
        scores, tokens, parents = (x.gather(1, go_on) for x in (values, tokens, parents))
        origin = (parents + beams * torch.arange(count, device=device)[:, None]).flatten()
        running = torch.cat([running[origin], tokens.view(-1, 1)], 1)
        for query, kept in enumerate(finished):
            done[query] |= len(kept) == beams and kept[-1][0] >= float(scores[query, 0]) / length
        if all(done):
            break
    for query, kept in enumerate(finished):
        if not done[query]:
            kept += [(float(score) / (running.shape[1] - 1), running[query * beams + beam, 1:].tolist())
                     for beam, score in enumerate(scores[query])]
    return [max(kept, key=lambda item: item[0])[1] for kept in finished]
