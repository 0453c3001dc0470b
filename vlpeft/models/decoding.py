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

from vlpeft.models.finite import check_next_token
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
    kept: list[list[Hypothesis]] = [[] for _ in range(count)]
    done = [False] * count
    origin = None
    for new in range(1, max_length):
        logits = step(running, origin)
        log_probs = at_least_float32(logits).log_softmax(-1)
        check_next_token(log_probs, beams)
        total = (scores[:, :, None] + log_probs.view(count, beams, -1)).flatten(1)
        # Twice as many, so that as many as wanted go on even if all others end.
        values, indices = total.topk(2 * beams, dim=1)
        tokens, parents = indices % log_probs.shape[-1], indices // log_probs.shape[-1]
        ended = tokens == end_id
        for query, rank in ended[:, :beams].nonzero().tolist():
            if not done[query]:
                ids = running[query * beams + parents[query, rank], 1:].tolist()
                total_log_prob = float(values[query, rank])
                kept[query].append(Hypothesis(ids, total_log_prob / (new + beside), total_log_prob / new))
        go_on = values.masked_fill(ended, float('-inf')).topk(beams, dim=1).indices
        scores, tokens, parents = (x.gather(1, go_on) for x in (values, tokens, parents))
        origin = (parents + beams * torch.arange(count, device=device)[:, None]).flatten()
        running = torch.cat([running[origin], tokens.view(-1, 1)], 1)
        hopes = (values if released else scores)[:, 0].tolist()
        for query, hope in enumerate(hopes):
            kept[query] = _best(kept[query], beams)
            done[query] |= len(kept[query]) == beams and kept[query][-1].score >= hope / (new + beside)
        if all(done):
            break
    unfinished = new + beside + int(released)
    for query, sums in enumerate(scores.tolist()):
        if not done[query]:
            rows = running[query * beams : (query + 1) * beams, 1:].tolist()
            kept[query] = _best(
                kept[query] + [Hypothesis(ids, total / unfinished, total / new) for ids, total in zip(rows, sums)],
                beams,
            )
    return kept


def _best(found: list[Hypothesis], beams: int) -> list[Hypothesis]:
    return sorted(found, key=lambda hypothesis: -hypothesis.score)[:beams]
