"""Convert MSVD annotations to one JSON-lines file per split, free of pickles."""

import sys

from vlpeft.datasets.conversion.splits import Size, convert, parse_args
from vlpeft.datasets.msvd import read_split
from vlpeft.datasets.video_folder import VideoFolder
from vlpeft.engine.messages import run_main

# Releases clean the captions differently, so their number is not checked.
SIZES = dict(train=Size(1200), val=Size(100), test=Size(670))
SOURCES = """
SRC holds raw-captions.pkl, train_list.txt, val_list.txt and test_list.txt, and the clips in videos/ (.avi, or
re-encoded under another suffix). Of the pickle only containers and texts are read; nothing in it is run.

DST/{split}.jsonl gets one {"video": "-4wsuPCjDBc_5_15.avi", "caption": ["...", ...]} a line, for JSONLRetrieval; paths
are relative to the clips' folder.
"""


def main(argv: list[str] | None = None) -> int:
    args = parse_args(__doc__, SOURCES, list(SIZES), list(SIZES), 'videos', 'msvd.py data/msvd data/msvd', argv)
    files = VideoFolder(args.media)

    def load(split: str) -> list[dict]:
        clips = read_split(str(args.src / 'raw-captions.pkl'), split)
        return [dict(video=files.find(f'{name}.avi'), caption=captions) for _, name, captions in clips]

    return convert(args, SIZES, load)


if __name__ == '__main__':
    sys.exit(run_main(main))
