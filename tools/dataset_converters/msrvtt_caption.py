"""Make MSR-VTT's captioning files in eP-ALM's layout, one JSON list per split."""

import sys

from vlpeft.datasets.conversion.splits import Size, convert, parse_args
from vlpeft.datasets.msrvtt import SPLITS, read_split
from vlpeft.datasets.video_folder import VideoFolder
from vlpeft.engine.messages import run_main

NAMES = dict(train='train_full', val='val_full', test='test_full', train7k='train_7k')
SOURCES = """
SRC holds MSRVTT_data.json and, for train7k, MSRVTT_train.7k.csv; and the videos in videos/ (.mp4, or re-encoded under
another suffix).

DST/msrvtt_caption_{train,val,test,train7k}.json gets a list of {"video": "video0.mp4", "caption": ["...", 20 of them]},
for VideoCaption: the official 6,513, 497 and 2,990 videos; train7k, which eP-ALM trains on, is train and val together.
"""


def main(argv: list[str] | None = None) -> int:
    args = parse_args(
        __doc__,
        SOURCES,
        list(NAMES),
        ['train', 'val', 'test'],
        'videos',
        'msrvtt_caption.py data/msrvtt data/msrvtt/annotation --media data/msrvtt/videos/all',
        argv,
    )
    files = VideoFolder(str(args.media))

    def load(split: str) -> list[dict]:
        captions: dict[str, list[str]] = {}
        for _, name, caption in read_split(str(args.src / 'MSRVTT_data.json'), NAMES[split]):
            captions.setdefault(name, []).append(caption)
        return [dict(video=files.find(f'{name}.mp4'), caption=texts) for name, texts in captions.items()]

    sizes = {split: Size(*SPLITS[name][1:]) for split, name in NAMES.items()}
    return convert(args, sizes, load, name='msrvtt_caption_{}.json')


if __name__ == '__main__':
    sys.exit(run_main(main))
