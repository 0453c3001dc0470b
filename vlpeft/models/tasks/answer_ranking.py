"""Answers from a closed list by likelihood: the first token shortlists, the whole answer decides.

    shortlist = top-k of p(a_1 | question),   score(a) = Σ_i log p(a_i | question, a_<i)

What answers share is computed once: the keys and values of the question, and each beginning that several answers have.
Beginnings grow by a token in each pass, so that none is padded, and those whose logits nobody reads are left out. A log
p is at most 0: where the best answer alone is asked for, an answer ends as soon as what it has is less than the best
score found. All of it is exact.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vlpeft.models.backbones import BlipTextDecoder, SelfCache
from vlpeft.models.finite import check_finite
from vlpeft.models.precision import at_least_float32

#: Answers of each question that are scored first where only the best is asked for; they bound the others.
FIRST = 8


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


def token_scores(logits: Tensor, rows: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """log p of ``targets`` (M,) under ``rows`` (M,) of ``logits`` (N, V), mixed with the mean over the vocabulary if
    smoothed.
    """
    log_probs = at_least_float32(logits).log_softmax(-1)
    scores = log_probs[rows, targets]
    return scores if smoothing == 0 else (1 - smoothing) * scores + smoothing * log_probs.mean(-1)[rows]


@torch.no_grad()
def rank_answers(
    decoder: BlipTextDecoder,
    questions,
    answers: AnswerBank,
    start_id: int,
    shortlist: int,
    smoothing: float,
    pairs_per_batch: int,
    best_only: bool = False,
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
        best_only: Leaves out of the ranking what cannot be the best; k is then 1. Defaults to False.

    Raises:
        NonFiniteError: A question's scores are NaN or infinite.
    """
    device, count = questions.mask.device, len(questions.mask)
    prefix = SelfCache()
    start = torch.full((count, 1), start_id, device=device)
    first_logits = decoder(start, torch.ones_like(start), questions.grouped([1] * count), prefix)[:, 0]
    check_finite('logits of the first token', first_logits)
    first_ids = torch.tensor([ids[1] for ids in answers.ids], device=device)
    likely = first_logits[:, first_ids].sort(dim=1, descending=True, stable=True).indices[:, :shortlist]
    rows = torch.arange(count, device=device).repeat_interleave(likely.shape[1])
    scores = token_scores(first_logits, rows, first_ids[likely.flatten()], smoothing).view(likely.shape).cpu()
    likely = likely.cpu()
    walk = _Walk(decoder, questions, prefix, smoothing)
    lost = torch.zeros(likely.shape, dtype=torch.bool)
    for columns in (slice(0, FIRST), slice(FIRST, None)) if best_only else (slice(None),):
        bound = scores[:, :FIRST].amax(1) if columns.start else torch.full((count,), -torch.inf)
        part = scores[:, columns]
        owner = torch.arange(count).repeat_interleave(part.shape[1])
        ids = [answers.ids[answer] for answer in likely[:, columns].flatten().tolist()]
        flat, gone = part.flatten().clone(), lost[:, columns].flatten().clone()
        for batch in torch.arange(len(flat)).split(pairs_per_batch) if len(flat) else ():
            flat[batch], gone[batch] = walk(owner[batch], [ids[i] for i in batch.tolist()], flat[batch], bound)
        scores[:, columns], lost[:, columns] = flat.view(part.shape), gone.view(part.shape)
    check_finite('log-likelihoods of the answers', scores)
    order = scores.masked_fill(lost, -torch.inf).sort(dim=1, descending=True, stable=True).indices
    order = order[:, :1] if best_only else order
    return Ranking(likely.gather(1, order), scores.gather(1, order))


class _Walk:
    """Scores answers token by token, each beginning once.

    Args:
        decoder, questions, smoothing: As for :func:`rank_answers`.
        prefix: What the decoder has kept of the start token of each question.
    """

    def __init__(self, decoder: BlipTextDecoder, questions, prefix: SelfCache, smoothing: float) -> None:
        self.decoder, self.questions, self.prefix, self.smoothing = decoder, questions, prefix, smoothing

    def __call__(
        self, owner: Tensor, ids: Sequence[Sequence[int]], scores: Tensor, bound: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Adds the scores of all tokens after the first.

        Args:
            owner: (P,) question of each answer, rising.
            ids: Of each answer, ``[CLS] … [SEP]``.
            scores: (P,) of the first token.
            bound: (B,) for each question what an answer has to reach to be followed further.

        Returns:
            Scores (P,), and whether each answer was given up (P,).
        """
        device = self.questions.mask.device
        scores, cache = scores.clone(), SelfCache()
        cache.layers = list(self.prefix.layers)
        lengths, bound = torch.tensor([len(row) for row in ids]), bound[owner]
        node, gone = owner, torch.zeros(len(ids), dtype=torch.bool)
        # The start token is in the cache, the end token only predicted.
        for depth in range(1, int(lengths.max()) - 1):
            longer = lengths > depth + 1
            gone |= longer & (scores < bound)
            alive = (longer & ~gone).nonzero()[:, 0]
            if not len(alive):
                break
            token = torch.tensor([ids[i][depth] for i in alive.tolist()])
            # Nodes keep the order of the questions, since those that they grow from have it.
            grown, own = torch.stack([node[alive], token], 1).unique(dim=0, return_inverse=True)
            parent, token = grown.unbind(1)
            cache.reorder(parent.to(device))
            question = torch.empty(len(grown), dtype=torch.long).scatter_(0, own, owner[alive])
            context = self.questions.grouped(question.bincount(minlength=len(self.questions.mask)).tolist())
            seen = torch.ones(len(grown), depth + 1, dtype=torch.long, device=device)
            logits = self.decoder(token[:, None].to(device), seen, context, cache)[:, 0]
            target = torch.tensor([ids[i][depth + 1] for i in alive.tolist()], device=device)
            scores[alive] += token_scores(logits, own.to(device), target, self.smoothing).to(scores).cpu()
            node = torch.full((len(ids),), -1).scatter_(0, alive, own)
        return scores, gone
