"""Answers and truths of other codes, as the samples that our metrics score.

Answers are a list (``.json``) or lines (``.jsonl``) of objects with an id and a text, as the VQA, GQA and COCO servers
take them and as ``tools/test.py --out`` writes them. Truths are lines or a list of objects with an id and what is
right, or the annotation files of VQA v2 and COCO captions.
"""

import math
from collections.abc import Iterable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from vlpeft.datasets.annotations import read_json, read_jsonl
from vlpeft.nearest import suggestion

IDS = ('question_id', 'questionId', 'sample_id', 'image_id', 'id')
TEXTS = ('answer', 'pred_answer', 'prediction', 'caption', 'pred_caption')
TRUTHS = ('answers', 'answer', 'gold', 'truth', 'label', 'references', 'captions', 'caption')
KEPT = ('question', 'question_type', 'answer_type', 'choices', 'name')
#: Fields in which metrics take the truth: labels with their scores, and the captions of a file.
LABEL, REFERENCES = 'label', 'references'


class ForeignError(ValueError):
    """A file that is not of a known form, or files that do not belong together; names file and entry."""


def read_answers(path: Path) -> dict[str, str]:
    """Texts by id.

    Raises:
        ForeignError: The file has another form, two answers of one id, or an answer that is no text.
        AnnotationError: There is no such file, or it is no JSON; likewise below.
    """
    content = _read(path)
    if isinstance(content, dict) and isinstance(content.get('predictions'), dict):
        content = [row for rows in content['predictions'].values() for row in rows]
    found: dict[str, str] = {}
    for number, row in enumerate(_rows(path, content)):
        key, text = _id_of(path, number, row), _first(path, number, row, TEXTS, 'text')
        if not isinstance(text, str):
            raise ForeignError(f'{path}: entry {number}: the answer {text!r} is no text')
        if found.setdefault(key, text) != text:
            raise ForeignError(f'{path}: {key!r} has two answers, {found[key]!r} and {text!r}')
    return found


def read_truths(path: Path, truth_field: str) -> dict[str, dict[str, Any]]:
    """What is right by id: ``truth``, texts or labels with their scores, and what else an entry says of the question.

    Args:
        path: The file.
        truth_field: Of the metric: :data:`LABEL` needs labels, :data:`REFERENCES` may have several entries of an id.

    Raises:
        ForeignError: The file has another form, an entry lacks a truth or has one of another kind than the metric
            needs, or two entries of a question.
    """
    content = _read(path)
    if isinstance(content, dict) and 'annotations' in content:
        content = content['annotations']
    found: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(_rows(path, content)):
        key, truth = _id_of(path, number, row), _first(path, number, row, TRUTHS, 'truth')
        where = f'{path}: entry {number}'
        truth = _labels(where, truth) if truth_field == LABEL else _texts(where, truth)
        kept = {name: row[name] for name in KEPT if name in row}
        for name, value in kept.items():
            wanted = dict if name == 'choices' else str
            if not isinstance(value, wanted):
                raise ForeignError(f'{where}: {name} is {value!r}, not {"an object" if wanted is dict else "a text"}')
        if key not in found:
            found[key] = dict(truth=truth, **kept)
        elif truth_field == REFERENCES:  # COCO has an entry for each caption of an image
            found[key]['truth'] += truth
        else:
            raise ForeignError(f'{where}: there was a truth of {key!r} already')
    return found


def _texts(where: str, truth: Any) -> list[str]:
    if isinstance(truth, dict):
        raise ForeignError(f'{where}: labels with scores are for LabelScoreMetric; this metric takes texts')
    texts = [
        one['answer'] if isinstance(one, dict) and 'answer' in one else one
        for one in (truth if isinstance(truth, list) else [truth])
    ]
    if not texts:
        raise ForeignError(f'{where}: the truth is empty')
    for one in texts:
        if not isinstance(one, str):
            raise ForeignError(f'{where}: the truth {one!r} is no text')
    return texts


def _labels(where: str, truth: Any) -> dict[str, float]:
    if not isinstance(truth, dict):
        raise ForeignError(f'{where}: LabelScoreMetric takes labels with scores, {{"red": 1.0}}, got {truth!r}')
    for name, score in truth.items():
        if isinstance(score, bool) or not isinstance(score, Real) or not math.isfinite(score):
            raise ForeignError(f'{where}: the score of {name!r} is {score!r}, not a finite number')
    return truth


def samples_of(
    answers: Mapping[str, str], truths: Mapping[str, Mapping[str, Any]], paths: tuple[Path, Path], truth_field: str
) -> Iterable[dict[str, Any]]:
    """Samples as metrics take them, of questions or, with :data:`REFERENCES`, of captions.

    Raises:
        ForeignError: An id is in one of the files only.
    """
    apart = sorted(answers.keys() ^ truths.keys())
    if apart:
        there, lacking = paths if apart[0] in answers else paths[::-1]
        raise ForeignError(f'{len(apart):,} ids are in one file only; {apart[0]!r} is in {there}, not in {lacking}')
    captions = truth_field == REFERENCES
    id_field, text_field = ('sample_id', 'pred_caption') if captions else ('question_id', 'pred_answer')
    for key, text in answers.items():
        entry = dict(truths[key])
        yield {id_field: key, text_field: text, truth_field: entry.pop('truth'), **entry}


def _read(path: Path) -> Any:
    return [row for _, row in read_jsonl(str(path))] if path.suffix == '.jsonl' else read_json(str(path))


def _rows(path: Path, content: Any) -> list[Mapping]:
    if not isinstance(content, list) or not content or not all(isinstance(row, dict) for row in content):
        raise ForeignError(f'{path} holds no list of objects')
    return content


def _id_of(path: Path, number: int, row: Mapping) -> str:
    return str(_first(path, number, row, IDS, 'id'))


def _first(path: Path, number: int, row: Mapping, names: tuple[str, ...], what: str) -> Any:
    name = next((name for name in names if row.get(name) is not None), None)
    if name is None:
        near = suggestion(next(iter(row), ''), names, every=0)
        raise ForeignError(f'{path}: entry {number} has no {what}, which is one of {", ".join(names)}{near}')
    return row[name]
