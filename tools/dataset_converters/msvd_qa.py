"""Convert MSVD-QA to one JSON-lines file per split, with the clips' names, and list its most frequent answers."""

import sys

from vlpeft.datasets.conversion.splits import Size, parse_args
from vlpeft.datasets.conversion.video_qa import convert_video_qa
from vlpeft.engine.messages import run_main

# Some clips of MSVD have no question; how many is not published.
SIZES = dict(train=Size(None, 30933), val=Size(None, 6415), test=Size(None, 13157))
SOURCES = """
SRC holds train_qa.json, val_qa.json, test_qa.json and youtube_mapping.txt (lines "mv89psg6zh4_33_46 vid1"), and the
clips in videos/ (.avi, or re-encoded under another suffix).

DST/{split}_qa.jsonl gets one {"video": "mv89psg6zh4_33_46.avi", "question": "...", "answer": "...", "question_id": 5} a
line, for JSONLQA and VideoQA; DST/answer_list.json the 1,500 most frequent answers of train, of equally frequent ones
the first to appear.
"""


def main(argv: list[str] | None = None) -> int:
    args = parse_args(__doc__, SOURCES, list(SIZES), list(SIZES), 'videos', 'msvd_qa.py data/msvd data/msvd', argv)
    return convert_video_qa(args, SIZES, str(args.src / 'youtube_mapping.txt'))


if __name__ == '__main__':
    sys.exit(run_main(main))
