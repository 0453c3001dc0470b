"""Answers from a closed list by likelihood: the first token shortlists, the whole answer decides.

    shortlist = top-k of p(a_1 | question),   score(a) = Σ_i log p(a_i | question, a_<i)

The start token is decoded once per question, and its keys and values serve all answers; the question's keys and values
are projected once; answers of equal length are decoded together, without padding and without the tokens whose logits
nobody reads. All of it is exact.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vlpeft.models.backbones import BlipTextDecoder, KeyValue, SelfCache
from vlpeft.models.finite import check_finite
from vlpeft.models.precision import at_least_float32


class AnswerBank(NamedTuple):
    """A closed list: ``texts``, and for each its ``ids`` as tokenised, ``[CLS] … [SEP]``."""

    texts: Sequence[str]
    ids: Sequence[Sequence[int]]


class Ranking(NamedTuple):
    """Of each question the shortlisted ``answers``, indices into the list, best first, and their ``scores``; (B, k),
    on the CPU. Of equal scores the answer that was shortlisted first comes first.
    """

    answers: Tensor
    scores: Tensor


def token_scores(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """log p of ``targets`` (…) under ``logits`` (…, V), mixed with the mean over the vocabulary if smoothed."""
    log_probs = at_least_float32(logits).log_softmax(-1)
    scores = log_probs.gather(-1, targets[..., None])[..., 0]
    return scores if smoothing == 0 else (1 - smoothing) * scores + smoothing * log_probs.mean(-1)


@torch.no_grad()
def rank_answers(
    decoder: BlipTextDecoder,
    questions,
    answers: AnswerBank,
    start_id: int,
    shortlist: int,
    smoothing: float,
    pairs_per_batch: int,
) -> Ranking:
    """The shortlisted answers of each question in order.

    Args:
        decoder: In eval mode.
        questions: :class:`~vlpeft.models.tasks.vqa.QuestionContext` of B questions.
        answers: The closed list, A answers.
        start_id: ``[DEC]``.
        shortlist: k, at most A are kept. Equal first tokens keep the order of the list.
        smoothing: Label smoothing of the score.
        pairs_per_batch: Bounds memory.

    Raises:
        NonFiniteError: A question's scores are NaN or infinite.
    """
    device, count = questions.mask.device, len(questions.mask)
    rows = torch.arange(count, device=device)
    prefix = SelfCache()
    start = torch.full((count, 1), start_id, device=device)
    first_logits = decoder(start, torch.ones_like(start), questions.take(rows), prefix)[:, 0]
    check_finite('logits of the first token', first_logits)
    first_ids = torch.tensor([ids[1] for ids in answers.ids], device=device)
    likely = first_logits[:, first_ids].sort(dim=1, descending=True, stable=True).indices[:, :shortlist]
    first = torch.stack([token_scores(first_logits, first_ids[chosen], smoothing) for chosen in likely.T], 1)
    rest = _continuations(decoder, questions, answers, likely.cpu(), prefix, smoothing, pairs_per_batch)
    scores = first.cpu() + rest.to(first.dtype)
    check_finite('log-likelihoods of the answers', scores)
    scores, order = scores.sort(dim=1, descending=True, stable=True)
    return Ranking(likely.cpu().gather(1, order), scores)


def _continuations(
    decoder: BlipTextDecoder,
    questions,
    answers: AnswerBank,
    likely: Tensor,
    prefix: SelfCache,
    smoothing: float,
    pairs_per_batch: int,
) -> Tensor:
    """Scores (B, k) of all tokens after the first; answers of one length go together, so that none is padded."""
    device = questions.mask.device
    flat = likely.flatten().tolist()
    lengths = torch.tensor([len(answers.ids[answer]) for answer in flat])
    scores = torch.zeros(len(flat))
    batches = [
        batch for length in lengths.unique() for batch in (lengths == length).nonzero()[:, 0].split(pairs_per_batch)
    ]
    for batch in batches:
        ids = torch.tensor([answers.ids[flat[pair]] for pair in batch.tolist()], device=device)
        owner = (batch // likely.shape[1]).to(device)
        cache = SelfCache()
        cache.layers = [KeyValue(kv.key[owner], kv.value[owner]) for kv in prefix.layers]
        # The start token is in the cache, the end token only predicted.
        logits = decoder(ids[:, 1:-1], torch.ones_like(ids[:, :-1]), questions.take(owner), cache)
        scores[batch] = token_scores(logits, ids[:, 2:], smoothing).sum(1).float().cpu()
    return scores.view(likely.shape)
