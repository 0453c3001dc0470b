"""Bootstrap intervals of scores of captions."""

from collections.abc import Sequence

import numpy as np

from ..intervals import RESAMPLES, Interval, mean_intervals, percentile_intervals, replicates
from .scores import CaptionReport

ORDERS = 4
#: As in pycocoevalcap, which adds them against divisions by zero.
SMALL, TINY = 1e-9, 1e-15
NOT_METEOR = 'METEOR pools the counts of all captions inside of its Java program, which tells them to nobody'
ALIKE = 'all captions score the same, or all belong to one file'


def caption_intervals(
    report: CaptionReport, clusters: Sequence | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Interval | str]:
    """Intervals of the figures of a report, times 100; where there is none, the reason.

    ROUGE-L, CIDEr and SPICE are means over captions, and the captions' own scores are resampled: the document
    frequencies by which CIDEr weighs words stay those of the whole set. BLEU is of the whole set: matches, guesses and
    lengths of the captions are resampled, and BLEU is computed of their sums.

    Args:
        report: Of :func:`caption_scores`.
        clusters: (n,) what is drawn as a whole. Defaults to None, each caption.
        resamples: See :func:`replicates`.
        seed: See :func:`replicates`.
    """
    found: dict[str, Interval | str | None] = {}
    for name in report.scores:
        if name in report.means:
            everything = {name: np.ones(len(report.means[name]), dtype=bool)}
            # CIDEr's are from 0 to 10.
            shares = name != 'CIDEr'
            ends = mean_intervals(report.means[name], everything, clusters, shares, resamples, seed)[name]
            found[name] = None if ends is None else (100 * ends[0], 100 * ends[1])
        elif not name.startswith('BLEU'):
            found[name] = NOT_METEOR
    values = percentile_intervals(100 * replicates(report.bleu, _bleu, clusters, resamples, seed))
    for n, (low, high) in enumerate(values.tolist(), start=1):
        found[f'BLEU-{n}'] = None if low == high else (low, high)
    return {name: ALIKE if found[name] is None else found[name] for name in report.scores}


def _bleu(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(b, 4) BLEU-1 to BLEU-4 of captions drawn (b, u) times; rows as ``CaptionReport.bleu``."""
    sums = weights @ rows
    matched, guessed, (length, wanted) = sums[:, :ORDERS], sums[:, ORDERS : 2 * ORDERS], sums[:, 2 * ORDERS :].T
    precision = ((matched + TINY) / (guessed + SMALL)).cumprod(axis=1) ** (1 / np.arange(1, ORDERS + 1))
    ratio = (length + TINY) / (wanted + SMALL)
    return precision * np.exp(np.minimum(0, 1 - 1 / ratio))[:, None]
