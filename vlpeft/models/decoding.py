r"""Beam search over any next-token function.

A sequence scores the sum of its tokens' log p divided by a length. With n new tokens, a just-chosen end token counted,
and L tokens from which they start (the padded prompt, or the decoder's one start token):

======================================  ===========================  ==================================
what                                    ``'default'``                ``'released'``
======================================  ===========================  ==================================
a finished sequence scores              Σ log p / n                  Σ log p / (n + L - 1)
an unfinished one, at the longest       Σ log p / n                  Σ log p / (n + L)
a query ends when its worst kept        unfinished beam of the step  continuation of the step, finished
sequence scores at least the best …     / n                          or not, / (n + L - 1)
======================================  ===========================  ==================================

A query can end only when it keeps as many finished sequences as it has beams. ``'default'`` is the rule of
transformers 4.57, ``'released'`` that of 4.24, with which the releases of eP-ALM and UniAdapter decode. Beside a
long prompt the latter's divisors hardly differ, so that nearly the sums are compared: short answers win more often.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vlpeft.models.finite import next_token_known, refuse_unknown
from vlpeft.models.precision import at_least_float32

Step = Callable[[Tensor, Tensor | None], Tensor]
BEAM_RULES = ('default', 'released')


class Hypothesis(NamedTuple):
    """A sequence that was found: its tokens ``ids`` without start and end token, its ``score``, and ``mean_log_prob``,
    Σ log p / n whatever the rule.
    """

    ids: list[int]
    score: float
    mean_log_prob: float


@torch.no_grad()
def beam_search(
    step: Step, start: Tensor, beams: int, end_id: int, max_length: int, rule: str = 'default', prompt_length: int = 1
) -> list[list[Hypothesis]]:
    """The best sequences of each query.

    Args:
        step: Next-token logits (B · beams, V) of sequences (B · beams, 1 + n); its second argument says from which rows
            of the last call these sequences continue (None at first), for caches.
        start: (B, 1) start tokens.
        beams: Sequences kept per query; 1 is greedy search.
        end_id: Token that ends a sequence.
        max_length: In tokens, the start token included; at least 2.
        rule: ``'default'`` or ``'released'``, see the module's table. Defaults to ``'default'``.
        prompt_length: L, which only ``'released'`` asks for. Defaults to 1, the start token.

    Returns:
        For each query at most ``beams`` sequences, best first.

    Raises:
        NonFiniteError: A query's log-likelihoods are NaN.
    """
    count, device = len(start), start.device
    # What a length counts beside the new tokens.
    beside, released = (prompt_length - 1, True) if rule == 'released' else (0, False)
    running = start.repeat_interleave(beams, 0)
    # All beams start equal, so only the first may branch.
    scores = torch.full((count, beams), float('-inf'), device=device)
    scores[:, 0] = 0
    texts: list[list[list[int]]] = [[[]] * beams for _ in range(count)]
    kept: list[list[Hypothesis]] = [[] for _ in range(count)]
    done = [False] * count
    origin = None
    for new in range(1, max_length):
        log_probs = at_least_float32(step(running, origin)).log_softmax(-1)
        right = next_token_known(log_probs)
        total = (scores[:, :, None] + log_probs.view(count, beams, -1)).flatten(1)
        # Twice as many, so that as many as wanted go on even if all others end.
        values, indices = total.topk(2 * beams, dim=1)
        ended = indices % log_probs.shape[-1] == end_id
        go_on = values.masked_fill(ended, float('-inf')).topk(beams, dim=1).indices
        scores, chosen = values.gather(1, go_on), indices.gather(1, go_on)
        origin = (chosen // log_probs.shape[-1] + beams * torch.arange(count, device=device)[:, None]).flatten()
        running = torch.cat([running[origin], (chosen % log_probs.shape[-1]).view(-1, 1)], 1)
        found = _fetch(values, indices, go_on, right.view(count, beams))
        refuse_unknown(found.right.flatten(), beams)
        for query, (sums, continued, rows) in enumerate(zip(found.values, found.indices, found.go_on)):
            parents, tokens = zip(*(divmod(index, log_probs.shape[-1]) for index in continued))
            if not done[query]:
                ends = [rank for rank in range(beams) if tokens[rank] == end_id]
                kept[query] = _best(
                    kept[query]
                    + [
                        Hypothesis(texts[query][parents[rank]], sums[rank] / (new + beside), sums[rank] / new)
                        for rank in ends
                    ],
                    beams,
                )
                hope = sums[0 if released else rows[0]]
                done[query] = len(kept[query]) == beams and kept[query][-1].score >= hope / (new + beside)
            texts[query] = [[*texts[query][parents[rank]], tokens[rank]] for rank in rows]
        if all(done):
            break
    unfinished = new + beside + int(released)
    for query, (sums, rows) in enumerate(zip(found.values, found.go_on)):
        if not done[query]:
            left = [Hypothesis(ids, sums[rank] / unfinished, sums[rank] / new) for ids, rank in zip(texts[query], rows)]
            kept[query] = _best(kept[query] + left, beams)
    return kept


class _Found(NamedTuple):
    """What the host sees of a step: log-likelihoods, best first, of continuations ``indices`` (B, 2 · beams) into beams
    and words; ranks of those that go on, and whether each beam's logits are numbers (B, beams).
    """

    values: list[list[float]]
    indices: list[list[int]]
    go_on: list[list[int]]
    right: Tensor


def _fetch(values: Tensor, indices: Tensor, go_on: Tensor, right: Tensor) -> _Found:
    """Carries all over in one piece: the only time that a step waits for the device."""
    bits = {4: torch.int32, 8: torch.int64}[values.itemsize]
    parts = [values.view(bits).long(), indices, go_on, right.long()]
    found = torch.cat(parts, 1).cpu().split([part.shape[1] for part in parts], 1)
    numbers = found[0].to(bits).view(values.dtype)
    return _Found(numbers.tolist(), found[1].tolist(), found[2].tolist(), found[3].bool())


def _best(found: list[Hypothesis], beams: int) -> list[Hypothesis]:
    return sorted(found, key=lambda hypothesis: -hypothesis.score)[:beams]
