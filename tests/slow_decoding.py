"""Beam search of one query restated slowly: no tensors, no batch, no cache; each rule from its description."""

from collections.abc import Callable, Sequence

#: rule → (what a finished sequence's sum is divided by, an unfinished one's, whether ended continuations stop a query)
RULES = dict(
    default=(lambda new, prompt: new, lambda new, prompt: new, False),
    released=(lambda new, prompt: new + prompt - 1, lambda new, prompt: new + prompt, True),
)


def slow_search(
    log_probs: Callable[[tuple[int, ...]], Sequence[float]],
    beams: int,
    end: int,
    most: int,
    rule: str,
    prompt_length: int,
) -> list[tuple[list[int], float]]:
    """Sequences without their end token and their scores, best first.

    Args:
        log_probs: Of every next token, given the new tokens so far.
        beams: How many sequences are kept.
        end: The end token.
        most: Most new tokens, the end token counted.
        rule: Name in ``RULES``.
        prompt_length: Tokens before the new ones, padding included.
    """
    finished, unfinished, ended_stop = RULES[rule]
    beam, kept = [((), 0.0)], []

    def keep(tokens, score):
        kept.append((list(tokens), score))
        kept.sort(key=lambda item: -item[1])
        del kept[beams:]

    for new in range(1, most + 1):
        step = [
            (tokens + (token,), total + log_p)
            for tokens, total in beam
            for token, log_p in enumerate(log_probs(tokens))
        ]
        step = sorted(step, key=lambda item: -item[1])[: 2 * beams]
        for tokens, total in step[:beams]:
            if tokens[-1] == end:
                keep(tokens[:-1], total / finished(new, prompt_length))
        beam = [(tokens, total) for tokens, total in step if tokens[-1] != end][:beams]
        hope = (step if ended_stop else beam)[0][1] / finished(new, prompt_length)
        if len(kept) == beams and hope <= kept[-1][1]:
            return kept
    for tokens, total in beam:
        keep(tokens, total / unfinished(most, prompt_length))
    return kept


def slow_mean(log_probs: Callable[[tuple[int, ...]], Sequence[float]], ids: list[int], end: int, most: int) -> float:
    """Mean log p of the tokens of a sequence that :func:`slow_search` has found, and of its end token if it has one."""
    tokens = [*ids, end][:most]
    return sum(log_probs(tuple(tokens[:i]))[token] for i, token in enumerate(tokens)) / len(tokens)
