"""BLEU, METEOR, ROUGE-L, CIDEr and SPICE of captions, as coco-caption computes them (Chen et al., arXiv 1504.00325).

The formulas are pycocoevalcap's own classes: its BLEU, ROUGE-L and CIDEr are plain Python, METEOR and SPICE are Java
programs. Only the tokens (:mod:`.tokenizer`) can come from elsewhere.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track

from .tokenizer import INSTALL, choose_tokenizer, tokenize

MEANS = ('ROUGE-L', 'CIDEr', 'SPICE')


class _Scored(NamedTuple):
    """Of one measure: scores of the set, and of each caption, by name."""

    scores: dict[str, float]
    items: dict[str, Sequence[float]]


class CaptionReport(NamedTuple):
    """Scores of a set of captions.

    Attributes:
        scores: ``BLEU-1`` … ``BLEU-4``, ``METEOR`` (only with Java), ``ROUGE-L``, ``CIDEr`` and ``SPICE`` (only if
            asked for), all times 100; CIDEr, unlike the others, can exceed 100.
        tokenizer: ``'java'`` or ``'python'``.
        items: Each caption's own scores, not times 100, by the same names, but for BLEU. Their means are the scores of
            the set of ROUGE-L, CIDEr and SPICE (``means``); METEOR and BLEU are of the whole set.
        bleu: (n, 10) what BLEU sums over the captions: matches of 1 to 4 words, guesses of 1 to 4 words, length, and
            length of the nearest reference.
    """

    scores: dict[str, float]
    tokenizer: str
    items: dict[str, list[float]]
    bleu: np.ndarray

    @property
    def means(self) -> dict[str, list[float]]:
        """Scores of the captions whose means are those of the set."""
        return {name: values for name, values in self.items.items() if name in MEANS}


def caption_scores(
    predictions: Sequence[str], references: Sequence[Sequence[str]], tokenizer: str = 'auto', spice: bool = False
) -> CaptionReport:
    """Score captions against their references.

    BLEU and METEOR are of the whole set, ROUGE-L, CIDEr and SPICE means over captions. CIDEr weighs n-grams by how few
    of the sets of references have them, so it depends on the set: of a single caption it is 0. A caption without
    tokens (empty or only punctuation) is scored like any other: it matches nothing, its own scores are 0, and it
    shortens the set for BLEU's brevity penalty. Two oddities of coco-caption stay: ROUGE-L of two captions without
    tokens is 1, and METEOR of the set, which pools counts, can rise when a poor caption is replaced by an empty one.

    Args:
        predictions: One caption for each item.
        references: The right captions of each item, at least one.
        tokenizer: ``'java'``, ``'python'`` or ``'auto'``, see :func:`choose_tokenizer`. METEOR comes with ``'java'``.
            Defaults to ``'auto'``.
        spice: Whether to compute SPICE, which downloads Stanford CoreNLP on first use and runs on Java 8 or 11 but not
            on 17. Defaults to False.

    Returns:
        Scores and the tokenizer that was used.

    Raises:
        ValueError: The two differ in length, there is no item, or an item has no reference; or see
            :func:`choose_tokenizer`.
        RuntimeError: No Java where ``tokenizer='java'`` or ``spice`` needs it.
        ImportError: pycocoevalcap is not installed.
    """
    tokenizer = check_caption_scorers(tokenizer, spice)
    if len(predictions) != len(references) or not predictions:
        raise ValueError(
            f'as many predictions as sets of references are needed, at least one; got '
            f'{len(predictions)} and {len(references)}'
        )
    bare = next((i for i, group in enumerate(references) if not group), None)
    if bare is not None:
        raise ValueError(f'item {bare} (prediction {predictions[bare]!r}) has no reference')
    found = {i: [caption] for i, caption in enumerate(tokenize(predictions, tokenizer))}
    flat = iter(tokenize([caption for group in references for caption in group], tokenizer))
    wanted = {i: [next(flat) for _ in group] for i, group in enumerate(references)}
    scores, items, console = {}, {}, Console(stderr=True)
    # Where nothing can be drawn over, a bar that ends leaves an empty line.
    silent = not console.is_interactive
    measures = _measures(tokenizer, spice)
    for measure in track(measures, 'Scoring captions', console=console, transient=True, disable=silent):
        scored = measure(wanted, found)
        scores.update({name: 100 * float(score) for name, score in scored.scores.items()})
        items.update({name: [float(score) for score in values] for name, values in scored.items.items()})
    return CaptionReport(scores, tokenizer, items, _bleu_counts(wanted, found))


def check_caption_scorers(tokenizer: str = 'auto', spice: bool = False) -> str:
    """Find out, before a long run, whether captions can be scored; arguments and errors of :func:`caption_scores`.

    Returns:
        The tokenizer that will be used.
    """
    try:
        import pycocoevalcap  # noqa: F401
    except ImportError as error:
        raise ImportError(f'captions are scored by pycocoevalcap: {INSTALL}') from error
    tokenizer = choose_tokenizer(tokenizer)
    if spice and tokenizer != 'java':
        raise RuntimeError("SPICE is a Java program: it needs the command java and tokenizer 'java' or 'auto'")
    return tokenizer


def _measures(tokenizer: str, spice: bool) -> list:
    return [_bleu, _rouge, _cider] + [_meteor] * (tokenizer == 'java') + [_spice] * spice


def _bleu(references: dict, predictions: dict) -> _Scored:
    from pycocoevalcap.bleu.bleu import Bleu

    scores, _ = Bleu(4).compute_score(references, predictions, verbose=0)
    # Of a single caption, which often shares no four words with a reference, it says little.
    return _Scored({f'BLEU-{n}': score for n, score in enumerate(scores, start=1)}, {})


def _bleu_counts(references: dict, predictions: dict) -> np.ndarray:
    from pycocoevalcap.bleu.bleu_scorer import cook_refs, cook_test

    counts = [cook_test(predictions[i][0], cook_refs(references[i], eff=None), eff='closest') for i in references]
    return np.array([[*row['correct'], *row['guess'], row['testlen'], row['reflen']] for row in counts])


def _rouge(references: dict, predictions: dict) -> _Scored:
    from pycocoevalcap.rouge.rouge import Rouge

    return _both('ROUGE-L', Rouge().compute_score(references, predictions))


def _cider(references: dict, predictions: dict) -> _Scored:
    from pycocoevalcap.cider.cider import Cider

    return _both('CIDEr', Cider().compute_score(references, predictions))


def _meteor(references: dict, predictions: dict) -> _Scored:
    from pycocoevalcap.meteor.meteor import Meteor

    return _both('METEOR', Meteor().compute_score(references, predictions))


def _spice(references: dict, predictions: dict) -> _Scored:
    from pycocoevalcap.spice.spice import Spice

    score, items = Spice().compute_score(references, predictions)
    return _both('SPICE', (score, [item['All']['f'] for item in items]))


def _both(name: str, scored: tuple[float, Sequence[float]]) -> _Scored:
    return _Scored({name: scored[0]}, {name: scored[1]})
