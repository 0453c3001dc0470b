"""Convert MSR-VTT annotations (CLIP4Clip layout) to one JSON-lines file per split."""

import sys

from vlpeft.datasets.conversion.splits import Size, convert, parse_args
from vlpeft.datasets.msrvtt import SPLITS, read_split
from vlpeft.engine.messages import run_main

SOURCES = """
SRC holds MSRVTT_data.json and the lists of the splits you want:
  train_9k    MSRVTT_train.9k.csv          9,000 clips, 20 captions each
  train_7k    MSRVTT_train.7k.csv          7,010 clips, 20 captions each
  test_1ka    MSRVTT_JSFUSION_test.csv     1,000 pairs (1k-A)
  train_full, val_full, test_full          6,513 / 497 / 2,990 clips, from MSRVTT_data.json alone

DST/{split}.jsonl gets one {"clip_name": "video7020", "caption": "..."} a line, for MSRVTTRetrieval.
"""


def main(argv: list[str] | None = None) -> int:
    args = parse_args(
        __doc__,
        SOURCES,
        list(SPLITS),
        ['train_9k', 'test_1ka'],
        'videos',
        'msrvtt.py data/msrvtt data/msrvtt --splits train_9k test_1ka',
        argv,
    )

    def load(split: str) -> list[dict]:
        pairs = read_split(str(args.src / 'MSRVTT_data.json'), split)
        return [dict(clip_name=name, caption=caption) for _, name, caption in pairs]

    sizes = {split: Size(clips, captions) for split, (_, clips, captions) in SPLITS.items()}
    return convert(args, sizes, load, lambda line: f'{line["clip_name"]}.mp4')


if __name__ == '__main__':
    sys.exit(run_main(main))
