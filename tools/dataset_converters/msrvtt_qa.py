"""Convert MSRVTT-QA to one JSON-lines file per split, and list its most frequent answers."""

import sys

from vlpeft.datasets.conversion.splits import Size, parse_args
from vlpeft.datasets.conversion.video_qa import convert_video_qa
from vlpeft.engine.messages import run_main

SIZES = dict(train=Size(6513, 158581), val=Size(497, 12278), test=Size(2990, 72821))
SOURCES = """
SRC holds train_qa.json, val_qa.json and test_qa.json, and the videos in videos/ (.mp4, or re-encoded under another
suffix).

DST/{split}_qa.jsonl gets one {"video": "video6513.mp4", "question": "...", "answer": "...", "question_id": 158581} a
line, for JSONLQA and VideoQA; DST/answer_list.json the 1,500 most frequent answers of train, of equally frequent ones
the first to appear.
"""


def main(argv: list[str] | None = None) -> int:
    args = parse_args(
        __doc__, SOURCES, list(SIZES), list(SIZES), 'videos', 'msrvtt_qa.py data/msrvtt data/msrvtt', argv
    )
    return convert_video_qa(args, SIZES)


if __name__ == '__main__':
    sys.exit(run_main(main))
