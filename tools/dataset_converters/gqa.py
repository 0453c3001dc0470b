"""Convert GQA's balanced questions to VL-T5's layout, one JSON list per split."""

import sys

from vlpeft.datasets.annotations import AnnotationError, read_json
from vlpeft.datasets.conversion.splits import Size, convert, parse_args
from vlpeft.datasets.records import field
from vlpeft.engine.messages import run_main

FILES = dict(train='train_balanced', valid='val_balanced', testdev='testdev_balanced', submit='submission_all')
SIZES = dict(train=Size(None, 943000), valid=Size(None, 132062), testdev=Size(None, 12578), submit=Size(None))
SOURCES = """
SRC holds {train_balanced,val_balanced,testdev_balanced,submission_all}_questions.json of questions1.2.

DST/{train,valid,testdev,submit}.json gets a list of {"img_id": "2354786", "question_id": "07333408", "sent": "...",
"label": {"pipe": 1.0}}, for GQA; the questions of submit, for the server, have no label. Other numbers of questions
than the known ones are reported. The images, {img_id}.jpg, lie in one folder (--media).
"""


def main(argv: list[str] | None = None) -> int:
    args = parse_args(
        __doc__,
        SOURCES,
        list(FILES),
        ['train', 'valid', 'testdev'],
        'images',
        'gqa.py downloads/gqa data/vlpet/GQA --media data/vlpet/GQA/images',
        argv,
    )

    def load(split: str) -> list[dict]:
        path = str(args.src / f'{FILES[split]}_questions.json')
        content = read_json(path)
        if not isinstance(content, dict):
            raise AnnotationError(f'{path}: expected an object {{question id: {{"imageId", "question", "answer"}}}}')
        return [_line(f"{path}: question '{number}'", number, record, split) for number, record in content.items()]

    return convert(args, SIZES, load, lambda line: f'{line["img_id"]}.jpg', 'questions', '{}.json', strict=False)


def _line(where: str, number: str, record: object, split: str) -> dict:
    if not isinstance(record, dict):
        raise AnnotationError(f'{where}: expected an object {{…}}, got {type(record).__name__}')
    line = dict(
        img_id=field(where, record, 'imageId', str), question_id=number, sent=field(where, record, 'question', str)
    )
    return line if split == 'submit' else dict(line, label={field(where, record, 'answer', str): 1.0})


if __name__ == '__main__':
    sys.exit(run_main(main))
