"""Convert DiDeMo annotations to one JSON-lines file of paragraphs per split."""

import sys

from vlpeft.datasets.conversion.splits import Size, convert, parse_args
from vlpeft.datasets.didemo import SECONDS, read_paragraphs
from vlpeft.datasets.video_folder import VideoFolder
from vlpeft.engine.messages import run_main

SIZES = dict(train=Size(8395), val=Size(1065), test=Size(1004))
SOURCES = """
SRC holds train_data.json, val_data.json and test_data.json, and the videos in videos/. Videos may be re-encoded under
another suffix (a.mov as a.mp4 or a.mov.mp4); the line names the file that is there.

DST/{split}.jsonl gets one {"video": "a.mov", "caption": "...", "end": 30} a line, all descriptions of a video joined,
for JSONLRetrieval; paths are relative to the videos' folder.
"""


def main(argv: list[str] | None = None) -> int:
    args = parse_args(__doc__, SOURCES, list(SIZES), list(SIZES), 'videos', 'didemo.py data/didemo data/didemo', argv)
    files = VideoFolder(args.media)

    def load(split: str) -> list[dict]:
        paragraphs = read_paragraphs(str(args.src / f'{split}_data.json'))
        return [dict(video=files.find(video), caption=text, end=SECONDS) for _, video, text in paragraphs]

    return convert(args, SIZES, load)


if __name__ == '__main__':
    sys.exit(run_main(main))
