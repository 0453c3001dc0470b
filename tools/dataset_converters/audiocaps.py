"""Convert AudioCaps' CSV files to eP-ALM's layout, one JSON list per split."""

import os
import sys
from pathlib import Path

from vlpeft.datasets.annotations import read_csv
from vlpeft.datasets.conversion.splits import Size, convert, parse_args
from vlpeft.engine.messages import run_main

# Of the first release; the second has more training clips.
SIZES = dict(train=Size(49838, 49838), val=Size(495, 2475), test=Size(975, 4875))
# How download scripts name a clip.
NAMES = ('{youtube_id}', 'Y{youtube_id}', '{youtube_id}_{start_time}')
SUFFIXES = ('.wav', '.flac', '.ogg', '.mp3', '.m4a')
SOURCES = """
SRC holds train.csv, val.csv and test.csv (columns audiocap_id, youtube_id, start_time, caption) of AudioCaps'
repository, and the clips in audios/train, audios/val and audios/test (or --media DIR with these three folders). A clip
may be called {youtube_id}, Y{youtube_id} or {youtube_id}_{start_time}, with any of the suffixes .wav, .flac, .ogg, .mp3
and .m4a.

DST/audiocaps_caption_{split}.json gets a list of {"audio": "train/rqfQRErjfk8.wav", "caption": ["...", ...]}, a clip
with all its captions each, for AudioCaps; paths are relative to the folder of the clips. Clips that are not there
(YouTube loses some every year) are written and listed all the same.
"""


def main(argv: list[str] | None = None) -> int:
    args = parse_args(
        __doc__,
        SOURCES,
        list(SIZES),
        list(SIZES),
        'audios',
        'audiocaps.py data/audiocaps data/audiocaps/annotation',
        argv,
    )

    def load(split: str) -> list[dict]:
        there = _stems(args.media / split)
        clips: dict[str, dict] = {}
        rows = read_csv(str(args.src / f'{split}.csv'), 'youtube_id', 'start_time', 'caption')
        for _, row in rows:
            audio = f'{split}/{_file(row, there)}'
            clips.setdefault(row['youtube_id'], dict(audio=audio, caption=[]))['caption'].append(row['caption'])
        return list(clips.values())

    return convert(args, SIZES, load, lambda line: line['audio'], name='audiocaps_caption_{}.json', strict=False)


def _stems(folder: Path) -> dict[str, str]:
    """Sound files of a folder by their name without suffix."""
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    return {Path(name).stem: name for name in names if Path(name).suffix.lower() in SUFFIXES}


def _file(row: dict, there: dict[str, str]) -> str:
    """File of a clip under any of its names; that of YouTube as WAV if it is not there."""
    stems = (name.format_map(row) for name in NAMES)
    return next((there[stem] for stem in stems if stem in there), f'{row["youtube_id"]}.wav')


if __name__ == '__main__':
    sys.exit(run_main(main))
