"""BLEU, METEOR, ROUGE-L, CIDEr and SPICE of captions, as coco-caption computes them (Chen et al., arXiv 1504.00325).

The formulas are pycocoevalcap's own classes: its BLEU, ROUGE-L and CIDEr are plain Python, METEOR and SPICE are Java
programs. Only the tokens (:mod:`.tokenizer`) can come from elsewhere.
"""

from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console
from rich.progress import track

from .tokenizer import INSTALL, choose_tokenizer, tokenize


class CaptionReport(NamedTuple):
    """Scores of a set of captions.

    Attributes:
        scores: ``BLEU-1`` … ``BLEU-4``, ``METEOR`` (only with Java), ``ROUGE-L``, ``CIDEr`` and ``SPICE`` (only if
            asked for), all times 100; CIDEr, unlike the others, can exceed 100.
        tokenizer: ``'java'`` or ``'python'``.
    """

    scores: dict[str, float]
    tokenizer: str


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
    scores, measures, console = {}, _measures(tokenizer, spice), Console(stderr=True)
    # Where nothing can be drawn over, a bar that ends leaves an empty line.
    silent = not console.is_interactive
    for measure in track(measures, 'Scoring captions', console=console, transient=True, disable=silent):
        scores.update(measure(wanted, found))
    return CaptionReport({name: 100 * float(score) for name, score in scores.items()}, tokenizer)


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


def _bleu(references: dict, predictions: dict) -> dict[str, float]:
    from pycocoevalcap.bleu.bleu import Bleu

    scores, _ = Bleu(4).compute_score(references, predictions, verbose=0)
    return {f'BLEU-{n}': score for n, score in enumerate(scores, start=1)}


def _rouge(references: dict, predictions: dict) -> dict[str, float]:
    from pycocoevalcap.rouge.rouge import Rouge

    return {'ROUGE-L': Rouge().compute_score(references, predictions)[0]}


def _cider(references: dict, predictions: dict) -> dict[str, float]:
    from pycocoevalcap.cider.cider import Cider

    return {'CIDEr': Cider().compute_score(references, predictions)[0]}


def _meteor(references: dict, predictions: dict) -> dict[str, float]:
    from pycocoevalcap.meteor.meteor import Meteor

    return {'METEOR': Meteor().compute_score(references, predictions)[0]}


def _spice(references: dict, predictions: dict) -> dict[str, float]:
    from pycocoevalcap.spice.spice import Spice

    return {'SPICE': Spice().compute_score(references, predictions)[0]}
