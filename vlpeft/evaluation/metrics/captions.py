"""Captions against their references: BLEU, METEOR, ROUGE-L, CIDEr, SPICE."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.logging import MMLogger

from vlpeft.evaluation.functional import CaptionReport, caption_intervals, caption_scores, check_caption_scorers
from vlpeft.registry import METRICS

from .base import ExactlyOnceMetric, Intervals, files_of, sort_out, unit_of

REFERENCES = ('joint', 'separate')
# Document frequencies of fewer items say little: CIDEr of one item is 0, whatever the caption.
FEW_FOR_CIDER = 50


@METRICS.register_module()
class CaptionMetric(ExactlyOnceMetric):
    """Scores of captions (:func:`vlpeft.evaluation.functional.caption_scores`), all times 100.

    A result is ``dict(sample_id, pred_caption, references)``. The metrics are ``BLEU-1`` to ``BLEU-4``, ``METEOR``
    (with Java), ``ROUGE-L``, ``CIDEr`` and ``SPICE`` (if asked for); ``tokenizer``, a text, says which one made the
    tokens. CIDEr of fewer than 50 captions is reported with a warning. Captions whose clip could not be read
    (``unreadable``) are left out, and ``left_out`` says how many. On the main process each of ``predictions`` has
    ``scores``, its caption's own, times 100.

    Args:
        references: ``'joint'``: a caption is compared with all its references together, as for COCO. ``'separate'``:
            each reference is an item of its own with the same caption, as the VALUE benchmark has it for TVC and YC2C.
            Defaults to ``'joint'``.
        tokenizer: ``'java'`` (coco-caption's), ``'python'`` or ``'auto'`` (Java where there is one). Defaults to
            ``'auto'``.
        spice: Whether to compute SPICE; it needs Java. Defaults to False.
        prefix: First part of the metric names. Defaults to 'caption'.

    Raises:
        ValueError: An option has another value.
        RuntimeError: An option needs Java and there is none.
        ImportError: pycocoevalcap is not installed.
    """

    default_prefix = 'caption'
    key_fields = ('sample_id',)
    #: The figure by which captioners are compared; the report begins with another.
    headline = 'CIDEr'

    def __init__(
        self, references: str = 'joint', tokenizer: str = 'auto', spice: bool = False, prefix: str | None = None
    ) -> None:
        super().__init__(prefix=prefix)
        if references not in REFERENCES:
            raise ValueError(f'unknown references={references!r}, valid: {", ".join(REFERENCES)}')
        self.tokenizer = check_caption_scorers(tokenizer, spice)
        self.separate = references == 'separate'
        self.spice = spice
        self.report: CaptionReport | None = None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep some captions.

        Args:
            data_batch: Not used.
            data_samples: Results as in the class docstring; further keys are ignored.

        Raises:
            ValueError: A caption has no references.
        """
        for sample in data_samples:
            result = {field: sample[field] for field in ('sample_id', 'question', 'name') if field in sample}
            if 'unreadable' in sample:
                result['unreadable'] = sample['unreadable']
            elif not sample.get('references'):
                raise ValueError(
                    f'CaptionMetric: sample {sample["sample_id"]!r} has no references; of a set whose '
                    'captions are not public, write a submission (CaptionSubmission, VALUESubmission)'
                )
            else:
                result.update(caption=sample['pred_caption'], references=list(sample['references']))
            self.results.append(result)

    def compute_metrics(self, results: list[dict]) -> dict[str, float | str]:
        """Scores of all captions.

        Args:
            results: One result per sample.

        Raises:
            ValueError: No caption is left.
        """
        scored = [result for result in results if 'unreadable' not in result]
        if not scored:
            raise ValueError(f'CaptionMetric: none of {len(results)} samples has a readable clip')
        pairs = [(result['caption'], references) for result in scored for references in self._items(result)]
        self.report = report = caption_scores(*zip(*pairs), tokenizer=self.tokenizer, spice=self.spice)
        for result, places in zip(scored, self._places(scored)):
            own = {name: float(np.mean([values[i] for i in places])) for name, values in report.items.items()}
            result['scores'] = {name: round(100 * score, 2) for name, score in own.items()}
        logger = MMLogger.get_current_instance()
        logger.info(f'{len(pairs):,} captions scored on tokens of the {report.tokenizer} tokenizer')
        if len(pairs) < FEW_FOR_CIDER:
            logger.warning(
                f'CIDEr of only {len(pairs)} captions: it weighs words by how rare they are in the '
                f'references of the evaluated set, which says little below {FEW_FOR_CIDER}; do not compare '
                'it'
            )
        metrics = dict(report.scores, tokenizer=report.tokenizer)
        if len(scored) < len(results):
            metrics['left_out'] = len(results) - len(scored)
            logger.warning(
                f'{metrics["left_out"]} of {len(results)} captions are left out of the metrics: unreadable clips'
            )
        return metrics

    def intervals(self) -> Intervals:
        """Intervals of all scores but METEOR (:func:`caption_intervals`); captions of one file go together."""
        scored = [result for result in self.predictions if 'unreadable' not in result]
        files = files_of(scored)
        names = files or list(range(len(scored)))
        owners = [name for name, places in zip(names, self._places(scored)) for _ in places]
        return sort_out(caption_intervals(self.report, owners), unit_of(files, len(scored), 'captions'))

    def _places(self, scored: list[dict]) -> list[range]:
        """Where the items of each caption stand among those of all."""
        ends = np.cumsum([len(self._items(result)) for result in scored]).tolist()
        return [range(start, end) for start, end in zip([0, *ends], ends)]

    def _items(self, result: dict) -> list[list[str]]:
        """Sets of references, each of which the caption is compared with on its own."""
        return [[reference] for reference in result['references']] if self.separate else [result['references']]
