"""Answers without looking: what is scored by whoever knows the training answers, and at most the question.

    majority:  argmax_a  #{training questions with answer a}
    question:  argmax_a  #{training questions with the same text and answer a}, majority where the text is new

A model that has learned to see is above both.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope

from vlpeft.evaluation.result import add_intervals, result_of
from vlpeft.registry import DATASETS, METRICS


def guess(cfg: Config, way: str) -> dict[str, Any]:
    """The result of a test whose answers are guesses, as ``tools/test.py --out`` writes it.

    Args:
        cfg: Config of a task of questions, whose training and test sets and test metric are read.
        way: One of :data:`vlpeft.comparison.study.GUESSES`.
    """
    with DefaultScope.overwrite_default_scope('vlpeft'):
        training, test = (_entries(cfg[f'{split}_dataloader'].dataset) for split in ('train', 'test'))
        metric = METRICS.build(cfg.test_evaluator)
    counts: dict[str | None, Counter] = defaultdict(Counter)
    for entry in training:
        for answer, weight in zip(entry['answers'], entry['weights']):
            counts[None][answer] += weight
            counts[entry['question']][answer] += weight
    samples = [
        dict(entry, pred_answer=_most(counts, entry['question'] if way == 'question' else None)) for entry in test
    ]
    metric.process(None, samples)
    result = result_of(cfg.filename or '', 'none', metric.evaluate(len(samples)), [metric], dict(guess=way))
    add_intervals(result, [metric])
    return json.loads(json.dumps(result))


def _most(counts: Mapping[str | None, Counter], question: str | None) -> str:
    """Of equally frequent answers the first in the alphabet."""
    found = counts[question if question in counts else None]
    return min(found, key=lambda answer: (-found[answer], answer))


def _entries(config: Mapping) -> Iterator[Mapping[str, Any]]:
    dataset = DATASETS.build(config)
    yield from (dataset.get_data_info(place) for place in range(len(dataset)))
