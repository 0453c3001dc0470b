"""Convert NLVR2 to VL-T5's layout, one JSON list per split."""

import sys

from vlpeft.datasets.annotations import AnnotationError, read_jsonl
from vlpeft.datasets.conversion.splits import Size, convert, parse_args
from vlpeft.datasets.nlvr2 import images
from vlpeft.datasets.records import field
from vlpeft.engine.messages import run_main

FILES = dict(train='train.json', valid='dev.json', test='test1.json')
SIZES = dict(train=Size(None, 86373), valid=Size(None, 6982), test=Size(None, 6967))
LABELS = dict(false=0, true=1)
SOURCES = """
SRC holds train.json, dev.json and test1.json, JSON lines, of the repository of NLVR2 (nlvr2/data).

DST/{train,valid,test}.json gets a list of {"identifier": "dev-850-0-0", "img0": "dev-850-0-img0", "img1":
"dev-850-0-img1", "sent": "...", "label": 0, "uid": "nlvr2_valid_0"}, for NLVR2, with "directory" where NLVR2 gives one
(train). Other numbers of statements than the known ones are reported. Images lie in one folder (--media) as
train/34/train-10171-0-img0.png, dev/dev-850-0-img0.png and test1/test1-0-0-img0.png.
"""


def main(argv: list[str] | None = None) -> int:
    args = parse_args(
        __doc__,
        SOURCES,
        list(FILES),
        list(FILES),
        'images',
        'nlvr2.py downloads/nlvr/nlvr2/data data/vlpet/nlvr --media data/vlpet/nlvr/images',
        argv,
    )
    if args.src.resolve() == args.dst.resolve():
        print(f'{args.src}: SRC and DST must differ, because {FILES["train"]} has the same name in both')
        return 1

    def load(split: str) -> list[dict]:
        records = read_jsonl(str(args.src / FILES[split]))
        return [
            dict(_line(where, record), uid=f'nlvr2_{split}_{number}') for number, (where, record) in enumerate(records)
        ]

    return convert(args, SIZES, load, images, 'statements', '{}.json', strict=False)


def _line(where: str, record: dict) -> dict:
    identifier = field(where, record, 'identifier', str)
    pair = identifier.rpartition('-')[0]
    label = str(record.get('label')).lower()
    if label not in LABELS:
        raise AnnotationError(f"{where}: 'label' must be True or False, got {record.get('label')!r}")
    line = dict(
        identifier=identifier,
        img0=f'{pair}-img0',
        img1=f'{pair}-img1',
        sent=field(where, record, 'sentence', str),
        label=LABELS[label],
    )
    return dict(line, directory=str(record['directory'])) if 'directory' in record else line


if __name__ == '__main__':
    sys.exit(run_main(main))
