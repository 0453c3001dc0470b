"""VQA v2 and Visual Genome questions in the layouts of BLIP, of visualqa.org and of VL-T5 (Goyal et al., CVPR 2017).

mmpretrain's COCOVQA and VGVQA read the first two, but list an image folder to find each file, stop at a missing one
with a KeyError, know neither ``gold`` answers nor types in BLIP's layout, and leave Visual Genome's answers under
another key than VQA's; so they do not fit under :class:`BaseQA`.
"""

from collections.abc import Iterator, Sequence

from ..registry import DATASETS
from .annotations import AnnotationError, locate, read_json
from .base_qa import BaseQA
from .records import entries, field
from .scored_answers import read_scored_question

VISUAL_GENOME_WEIGHT = 0.2
TYPES = ('question_type', 'answer_type')


@DATASETS.register_module()
class VQAv2(BaseQA):
    """Questions about COCO (or Visual Genome) images.

    ``ann_file`` is one of

    * BLIP's ``vqa_train.json``, ``vqa_val.json``, ``vqa_test.json``, ``vg_qa.json``: a list of ``{question,
      question_id, image, dataset, answer}``; ``answer`` is ten texts for ``dataset='vqa'``, absent in the test, and one
      text, of weight 0.2, for ``dataset='vg'``;
    * visualqa.org's ``v2_OpenEnded_mscoco_*_questions.json``; the answers are in ``annotations``;
    * VL-T5's ``karpathy_*.json``: a list of ``{img_id, question_id, question or sent, label: {answer: score}}``. The
      scores weigh the answers in training, ``name`` is the ``img_id``, and the ten answers that a test needs are in
      ``annotations``.

    Args:
        ann_file: See above.
        keep_unanswered: Keep training questions without any score, with no ``answers``. They are no signal, but VL-T5's
            code and its descendants average the loss over them too. Defaults to False.
        annotations: visualqa.org's ``v2_mscoco_*_annotations.json``, relative to ``data_root``, one or several: ten
            answers, question type and answer type by ``question_id``. Defaults to ().
        **kwargs: Other arguments of :class:`BaseQA`. Images are named relative to the media folder: BLIP's as they
            stand, the others ``val2014/COCO_val2014_000000262148.jpg``.
    """

    def __init__(
        self, ann_file: str, annotations: str | Sequence[str] = (), keep_unanswered: bool = False, **kwargs
    ) -> None:
        self.keep_unanswered = keep_unanswered
        self.annotations = [annotations] if isinstance(annotations, str) else list(annotations)
        super().__init__(ann_file, **kwargs)

    def load_questions(self, path: str) -> Iterator[tuple[str, dict]]:
        folder, answers = self.data_prefix['media'], read_annotations(list(map(self.resolve, self.annotations)))
        for where, image, question in read_questions(path):
            question.update(answers.get(question['question_id'], {}))
            if question.get('weights') == {} and not (self.test_mode or self.keep_unanswered):
                continue
            full = locate(image, folder, (self.data_root, folder), where)
            yield where, dict(dict(name=image), **question, path=full, media='image')


def read_annotations(paths: Sequence[str]) -> dict[int, dict]:
    """``gold`` answers and types by question id, from visualqa.org's annotation files.

    Raises:
        AnnotationError: A file is missing or malformed.
    """
    found = {}
    for path in paths:
        for where, record in entries(path, read_json(path), 'annotations'):
            gold = _texts(where, [answer.get('answer') for _, answer in entries(where, record, 'answers')])
            types = {key: record[key] for key in TYPES if key in record}
            found[field(where, record, 'question_id', int)] = dict(types, gold=gold)
    return found


def read_questions(path: str) -> Iterator[tuple[str, str, dict]]:
    """Questions of a file in any of the three layouts.

    Yields:
        Place for messages, image file, and ``question``, ``question_id`` and what else the file tells: ``gold``,
        ``weights``, ``label``, ``question_type``, ``answer_type``, and ``name``.

    Raises:
        AnnotationError: The file is missing or in none of the layouts.
    """
    content = read_json(path)
    if isinstance(content, dict):
        yield from _official(path, content)
        return
    for where, record in entries(path, content):
        if 'image' in record:
            yield _blip(where, record)
        elif 'img_id' in record:
            yield _vlt5(where, record)
        else:
            raise AnnotationError(
                f"{where}: neither 'image' (BLIP) nor 'img_id' (VL-T5); keys found: {', '.join(record) or 'none'}"
            )


def _official(path: str, content: dict) -> Iterator[tuple[str, str, dict]]:
    # Both test splits, test2015 and test-dev2015, are about the images of test2015.
    subset = field(f'{path}:1', content, 'data_subtype', str).replace('-dev', '')
    for where, record in entries(path, content, 'questions'):
        image = f'{subset}/COCO_{subset}_{field(where, record, "image_id", int):012d}.jpg'
        yield where, image, _question(where, record, 'question')


def _blip(where: str, record: dict) -> tuple[str, str, dict]:
    question = _question(where, record, 'question')
    if record.get('dataset') == 'vg':
        answer = field(where, record, 'answer', str)
        question.update(gold=[answer], weights={answer: VISUAL_GENOME_WEIGHT})
    elif 'answer' in record:
        question['gold'] = _texts(where, field(where, record, 'answer', list))
    return where, field(where, record, 'image', str), question


def _vlt5(where: str, record: dict) -> tuple[str, str, dict]:
    question = read_scored_question(where, record, int)
    question.update({kind: record[kind] for kind in TYPES if kind in record})
    parts = question['name'].split('_')
    if len(parts) != 3:
        raise AnnotationError(f"{where}: 'img_id' must be like COCO_val2014_000000262148, got '{question['name']}'")
    return where, f'{parts[1]}/{question["name"]}.jpg', question


def _question(where: str, record: dict, key: str) -> dict:
    types = {kind: record[kind] for kind in TYPES if kind in record}
    return dict(types, question=field(where, record, key, str), question_id=field(where, record, 'question_id', int))


def _texts(where: str, answers: list) -> list[str]:
    """The annotators' answers; some of them may be empty."""
    if not answers or not all(isinstance(answer, str) for answer in answers):
        raise AnnotationError(f'{where}: expected the answers of the annotators as texts, got {answers}')
    return answers
