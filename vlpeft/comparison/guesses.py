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
from torch.utils.data import Dataset

from vlpeft.datasets.checking.sets import set_configs
from vlpeft.engine.loops.multi_task import under_task
from vlpeft.evaluation.result import add_intervals, result_of
from vlpeft.registry import DATASETS, METRICS

from .study import StudyError


def guess(cfg: Config, way: str) -> dict[str, Any]:
    """The result of a test whose answers are guesses, as ``tools/test.py --out`` writes it.

    Args:
        cfg: Config of a task of questions, or of several tasks, of which that of questions is taken; its training and
            test sets and its test metric are read.
        way: One of :data:`vlpeft.comparison.study.GUESSES`.

    Raises:
        StudyError: No task asks questions.
    """
    with DefaultScope.overwrite_default_scope('vlpeft'):
        training, test = (
            {label.partition('/')[2]: DATASETS.build(one) for label, one in set_configs(cfg, (split,))}
            for split in ('train', 'test')
        )
        task = next((task for task, known in training.items() if 'answers' in known.get_data_info(0)), None)
        if task not in test:
            raise StudyError(f'{cfg.filename}: there is no question to guess the answer of')
        training, test = _entries(training[task]), _entries(test[task])
        metric = METRICS.build(cfg.test_evaluator[task] if task else cfg.test_evaluator)
    if task:
        metric.prefix = under_task(task, metric.prefix)
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


def _entries(dataset: Dataset) -> Iterator[Mapping[str, Any]]:
    yield from (dataset.get_data_info(place) for place in range(len(dataset)))
