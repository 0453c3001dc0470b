"""Questions about clips (or images): what every question answering set shares."""

import logging
import os
import re
from collections import Counter
from collections.abc import Iterator

from mmengine.dataset import force_full_init
from mmengine.logging import print_log

from .annotations import AnnotationError, read_json, type_name
from .base_clips import BaseClips

QUESTION_TYPES = ('what', 'who', 'how', 'when', 'where')
TEST_FIELDS = ('question_id', 'gold', 'label', 'question_type', 'answer_type')


class BaseQA(BaseClips):
    """Questions, each a sample, with weighted answers in training and all annotators' answers in test mode.

    A subclass says what the questions are (:meth:`load_questions`). Training samples have ``question``, ``answers``
    (distinct) and ``weights`` (share of the annotators who gave the answer, unless the set says otherwise); test
    samples have ``question``, ``question_id`` and, where they are known, ``gold`` (every annotator's answer),
    ``label`` (scores of answers), ``question_type`` and ``answer_type``.

    Args:
        ann_file: Annotation file, relative to ``data_root`` or absolute.
        answer_file: JSON list of the answers that a model may choose from, relative to ``data_root`` or absolute.
            Defaults to None.
        answers_from: Instead: an annotation file, in a layout that the set reads, whose most frequent answers are
            these; of equally frequent ones the first to appear. Defaults to None.
        answers_top: How many of them. Defaults to 1500.
        **kwargs: Arguments of :class:`BaseClips`.

    Raises:
        ValueError: Both ``answer_file`` and ``answers_from`` are given.
        AnnotationError: As in :class:`BaseClips`; no answers in training, or question ids that are not unique in a
            test set; a missing or malformed answer list.
    """

    def __init__(
        self,
        ann_file: str,
        answer_file: str | None = None,
        answers_from: str | None = None,
        answers_top: int = 1500,
        **kwargs,
    ) -> None:
        if answer_file is not None and answers_from is not None:
            raise ValueError('answer_file and answers_from exclude each other: set one of them to None')
        self.answer_file, self.answers_from, self.answers_top = answer_file, answers_from, answers_top
        super().__init__(ann_file, **kwargs)

    def load_questions(self, path: str) -> Iterator[tuple[str, dict]]:
        """Yield (place for messages, question) of an annotation file.

        A question is a dict of a clip's ``name``, ``path``, ``media``, ``start`` and ``end`` (see :class:`BaseClips`),
        ``question`` (and whatever else is asked about), ``question_id`` (int or str) and, if known, ``gold``
        (list[str]), ``label`` ({answer: score}, for the evaluation), ``question_type``, ``answer_type`` and
        ``weights`` ({answer: weight}, in place of the shares in ``gold``).
        """
        raise NotImplementedError

    def resolve(self, path: str) -> str:
        """A path of the configuration: relative to ``data_root``, or absolute."""
        return os.path.join(self.data_root, path)

    def load_samples(self) -> list[dict]:
        self._answer_list = self.read_answer_list()
        if not self.test_mode:
            return [_training_sample(where, question) for where, question in self.load_questions(self.ann_file)]
        questions = list(self.load_questions(self.ann_file))
        self._check_ids(questions)
        samples = [{key: value for key, value in question.items() if key != 'weights'} for _, question in questions]
        self._report_outside(samples)
        return samples

    @property
    @force_full_init
    def answer_list(self) -> list[str] | None:
        """The answers that a model may choose from, or None if the set is open."""
        return self._answer_list

    def read_answer_list(self) -> list[str] | None:
        """:attr:`answer_list`, of a set whose questions are not read. Errors: see the class."""
        if self.answer_file is not None:
            path = self.resolve(self.answer_file)
            answers = read_json(path)
            if not isinstance(answers, list) or not answers:
                raise AnnotationError(f'{path}:1: expected a list of answers (texts), not empty')
            seen = set()
            for line, answer in zip(answers.lines, answers):
                if not isinstance(answer, str):
                    raise AnnotationError(f'{path}:{line}: expected a list of answers (texts), got {type_name(answer)}')
                if answer in seen:
                    raise AnnotationError(f'{path}:{line}: {answer!r} is listed more than once')
                seen.add(answer)
            return list(answers)
        if self.answers_from is not None:
            path = self.resolve(self.answers_from)
            answers = most_frequent_answers(self.load_questions(path), self.answers_top)
            if not answers:
                raise AnnotationError(f'{path} holds no answers, so answers_from finds none')
            return answers
        return None

    def _check_ids(self, questions: list[tuple[str, dict]]) -> None:
        seen: dict[int | str, str] = {}
        for where, question in questions:
            number = question['question_id']
            if number in seen:
                raise AnnotationError(f'{where}: question_id {number!r} was already used at {seen[number]}')
            first = next(iter(seen), number)
            if type(first) is not type(number):
                raise AnnotationError(
                    f'{where}: question_id {number!r} beside {first!r} at {seen[first]}: they must '
                    'be all integers or all texts (or all left out)'
                )
            seen[number] = where

    def _report_outside(self, samples: list[dict]) -> None:
        known = [sample['gold'] for sample in samples if 'gold' in sample]
        if self._answer_list is None or not known:
            return
        listed = set(self._answer_list)
        outside = sum(listed.isdisjoint(gold) for gold in known)
        print_log(
            f'{self.ann_file}: {outside:,} of {len(known):,} questions ({100 * outside / len(known):.1f} %) have '
            f'no answer among the {len(listed):,} of the closed list; they count as wrong',
            logger='current',
            level=logging.INFO,
        )


def most_frequent_answers(questions: Iterator[tuple[str, dict]], count: int) -> list[str]:
    """The ``count`` answers given most often, by frequency; of equally frequent ones the first to appear comes first.

    Args:
        questions: As :meth:`BaseQA.load_questions` yields them.
        count: Answers kept.
    """
    given = Counter(answer for _, question in questions for answer in question.get('gold', ()))
    return [answer for answer, _ in given.most_common(count)]


def question_type(question: str) -> str:
    """Class of a VideoQA question, as the literature reports it: its first word if that is 'what', 'who', 'how',
    'when' or 'where', else 'other'.
    """
    first = re.search(r'[a-z]+|$', question.lower()).group()
    return first if first in QUESTION_TYPES else 'other'


def _training_sample(where: str, question: dict) -> dict:
    weights = question.pop('weights', None)
    if weights is None:
        gold = question.get('gold')
        if not gold:
            raise AnnotationError(f'{where}: question {question["question_id"]!r} has no answers, training needs them')
        weights = {answer: times / len(gold) for answer, times in Counter(gold).items()}
    kept = {key: value for key, value in question.items() if key not in TEST_FIELDS}
    return dict(kept, answers=list(weights), weights=[float(weight) for weight in weights.values()])
