"""Convert VQA v2 from visualqa.org's files to BLIP's layout, one JSON list per split."""

import sys

from vlpeft.datasets.conversion.splits import Size, convert, parse_args
from vlpeft.datasets.vqav2 import read_annotations, read_questions
from vlpeft.engine.messages import run_main

SUBSETS = {'train': 'train2014', 'val': 'val2014', 'test': 'test2015', 'test-dev': 'test-dev2015'}
SIZES = {
    'train': Size(82783, 443757),
    'val': Size(40504, 214354),
    'test': Size(81434, 447793),
    'test-dev': Size(36807, 107394),
}
BLIP_ONLY = {
    'vg_qa.json': "Visual Genome's questions, part of the released training recipe",
    'answer_list.json': 'the 3,128 answers to choose from; without it set answer_file=None and answers_from',
}
SOURCES = """
SRC holds v2_OpenEnded_mscoco_{train2014,val2014,test2015,test-dev2015}_questions.json and, for train and val,
v2_mscoco_{train2014,val2014}_annotations.json; and the images in train2014/, val2014/ and test2015/.

DST/vqa_{split}.json gets a list of {"question_id": 262148000, "question": "...", "answer": ["...", ten of them],
"image": "val2014/COCO_val2014_000000262148.jpg", "dataset": "vqa", "question_type": "...", "answer_type": "..."}, for
VQAv2; the test splits have neither answers nor types. vg_qa.json and answer_list.json are not made from these files:
they come with BLIP's; the converter says whether they are in DST.
"""


def main(argv: list[str] | None = None) -> int:
    args = parse_args(
        __doc__, SOURCES, list(SIZES), ['train', 'val', 'test'], '.', 'vqav2.py data/coco data/coco', argv
    )

    def load(split: str) -> list[dict]:
        known = {}
        if split in ('train', 'val'):
            known = read_annotations([str(args.src / f'v2_mscoco_{SUBSETS[split]}_annotations.json')])
        lines = []
        for _, image, question in read_questions(
            str(args.src / f'v2_OpenEnded_mscoco_{SUBSETS[split]}_questions.json')
        ):
            found = dict(known.get(question['question_id'], {}))
            answer = dict(answer=found.pop('gold')) if found else {}
            lines.append(dict(question, **answer, image=image, dataset='vqa', **found))
        return lines

    code = convert(args, SIZES, load, noun='questions', name='vqa_{}.json')
    for name, meaning in BLIP_ONLY.items():
        there = (args.dst / name).is_file()
        print(f'{name}: {"there" if there else f"missing in {args.dst} ({meaning})"}')
    return code


if __name__ == '__main__':
    sys.exit(run_main(main))
