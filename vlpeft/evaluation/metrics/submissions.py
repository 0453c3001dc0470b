"""Base of the metrics that write a file for an evaluation server."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import MMLogger

from vlpeft.atomic import write_atomically

from .base import ExactlyOnceMetric


class Submission(ExactlyOnceMetric):
    """Writes one file with the prediction for every sample, ordered by id.

    The main process writes it, whole or not at all. Servers want every sample of a split, so one that could not be read
    (``unreadable``) is there with the prediction ``blank``. The metric named by ``counts`` is the number of
    samples, ``unreadable``, if there are any, that of the blank ones. A subclass says what is kept of a sample
    (:meth:`entry`) and what the file looks like (:meth:`content`).

    Args:
        out_file: File to write; its folder is made.
        prefix: First part of the metric names. Defaults to ``default_prefix`` of the class.

    Raises:
        ValueError: ``out_file`` has not the ending that the server wants.
    """

    key_fields = ('question_id',)
    ending = '.json'
    prediction_field = 'pred_answer'
    blank = ''
    counts = 'questions'

    def __init__(self, out_file: str, prefix: str | None = None) -> None:
        super().__init__(prefix=prefix)
        if not out_file.endswith(self.ending):
            raise ValueError(f'out_file must end with {self.ending}, got {out_file}')
        self.out_file = Path(out_file)

    def entry(self, sample: dict, prediction: str) -> dict[str, Any]:
        """What the file needs to know of a sample, beside its id, in plain Python values.

        Args:
            sample: A result.
            prediction: Its prediction, or ``blank``.
        """
        raise NotImplementedError

    def content(self, results: list[dict]) -> str:
        """Text of the file.

        Args:
            results: For every sample its id and the items of :meth:`entry`, ordered by id.
        """
        raise NotImplementedError

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep some predictions.

        Args:
            data_batch: Not used.
            data_samples: Each with its id, ``prediction_field`` and what :meth:`entry` asks for.
        """
        for sample in data_samples:
            unreadable = 'unreadable' in sample
            prediction = self.blank if unreadable else sample[self.prediction_field]
            keys = {field: sample[field] for field in self.key_fields}
            self.results.append(dict(keys, **self.entry(sample, prediction), unreadable=unreadable))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Write the file.

        Args:
            results: One result per sample.
        """
        content = self.content(results)
        write_atomically(self.out_file, lambda part: Path(part).write_text(content, encoding='utf-8'))
        logger = MMLogger.get_current_instance()
        logger.info(f'Predictions of {len(results):,} {self.counts} for the server are in {self.out_file}')
        unreadable = sum(result['unreadable'] for result in results)
        if not unreadable:
            return {self.counts: len(results)}
        logger.warning(f'{unreadable} of them are {self.blank!r}: unreadable files')
        return {self.counts: len(results), 'unreadable': unreadable}
