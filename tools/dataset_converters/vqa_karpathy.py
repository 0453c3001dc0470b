"""Make VQA v2's Karpathy splits in VL-T5's layout from the official files, one JSON list per split."""

import sys
from collections import Counter
from functools import cache
from pathlib import Path

from vlpeft.datasets.annotations import AnnotationError, read_json
from vlpeft.datasets.conversion.splits import Size, convert, parse_args
from vlpeft.datasets.karpathy import read_images
from vlpeft.datasets.records import entries, field
from vlpeft.datasets.vqav2 import read_annotations, read_questions
from vlpeft.engine.messages import run_main
from vlpeft.evaluation.functional import normalise_answer

SUBSETS = ('train2014', 'val2014')
SIZES = dict(train=Size(113287, 605102), val=Size(5000, 26729), test=Size(5000, 26280))
# The recipe of LXMERT's and VL-T5's labels. Only agreed answers are brought to one spelling, so an annotator's "two" is
# not the frequent "2".
MIN_QUESTIONS = 9
# Score by the number of annotators who gave the answer; 1 for more of them.
SCORES = {1: 0.3, 2: 0.6, 3: 0.9}
SOURCES = """
SRC holds v2_OpenEnded_mscoco_{train2014,val2014}_questions.json and v2_mscoco_{train2014,val2014}_annotations.json
of visualqa.org, and Karpathy's dataset_coco.json; and the images in train2014/ and val2014/.

DST/karpathy_{train,val,test}.json gets a list of {"img_id": "COCO_val2014_000000262148", "question_id": 262148000,
"sent": "...", "label": {"down": 1, "table": 0.3}, "question_type": "...", "answer_type": "..."}, for VQAv2: val and
test are the questions about the images of Karpathy's val and test, train all others of train2014 and val2014. A label
holds those of the ten answers that are among the frequent ones (agreed on for 9 questions or more of both years, some
3,129 in the challenge's spelling), with the score 0.3, 0.6, 0.9 or 1 for 1, 2, 3 or more annotators; it may be empty.
Other numbers of questions than the known ones are reported.
"""


def main(argv: list[str] | None = None) -> int:
    args = parse_args(__doc__, SOURCES, list(SIZES), list(SIZES), '.', 'vqa_karpathy.py data/coco data/vlpet/vqa', argv)

    @cache
    def by_split() -> dict[str, list[dict]]:
        return split_questions(args.src)

    return convert(args, SIZES, lambda split: by_split()[split], _image, 'questions', 'karpathy_{}.json', strict=False)


def _image(line: dict) -> str:
    return f'{line["img_id"].split("_")[1]}/{line["img_id"]}.jpg'


def split_questions(src: Path) -> dict[str, list[dict]]:
    """Lines of every split from the official files in ``src``.

    Raises:
        AnnotationError: A file is missing or malformed, or a question has no answers.
    """
    whole = str(src / 'dataset_coco.json')
    split_of = {Path(image).stem: split for split in ('val', 'test') for _, image, _ in read_images(whole, split)}
    files = [str(src / f'v2_mscoco_{subset}_annotations.json') for subset in SUBSETS]
    answers, frequent = read_annotations(files), frequent_answers(files)
    lines: dict[str, list[dict]] = {split: [] for split in SIZES}
    for subset in SUBSETS:
        for where, image, question in read_questions(str(src / f'v2_OpenEnded_mscoco_{subset}_questions.json')):
            number, name = question['question_id'], Path(image).stem
            if number not in answers:
                raise AnnotationError(f'{where}: question {number} has no answers in {" or ".join(files)}')
            types = dict(answers[number])
            counts = Counter(types.pop('gold'))
            label = {answer: SCORES.get(count, 1) for answer, count in counts.items() if answer in frequent}
            lines[split_of.get(name, 'train')].append(
                dict(img_id=name, question_id=number, sent=question['question'], label=label, **types)
            )
    return lines


def frequent_answers(files: list[str]) -> set[str]:
    """Answers that the annotators of at least ``MIN_QUESTIONS`` questions agreed on, in the challenge's spelling."""
    counts = Counter()
    for path in files:
        for where, record in entries(path, read_json(path), 'annotations'):
            counts[normalise_answer(field(where, record, 'multiple_choice_answer', str))] += 1
    return {answer for answer, count in counts.items() if count >= MIN_QUESTIONS}


if __name__ == '__main__':
    sys.exit(run_main(main))
