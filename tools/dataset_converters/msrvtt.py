"""Convert MSR-VTT annotations (CLIP4Clip layout) to one JSON-lines file per split."""

import argparse
import json
import os
import sys
from pathlib import Path

from vlpeft.datasets.annotations import AnnotationError
from vlpeft.datasets.msrvtt import SPLITS, read_split

EPILOG = """
SRC holds MSRVTT_data.json and the lists of the splits you want:
  train_9k    MSRVTT_train.9k.csv          9,000 clips, 20 captions each
  train_7k    MSRVTT_train.7k.csv          7,010 clips, 20 captions each
  test_1ka    MSRVTT_JSFUSION_test.csv     1,000 pairs (1k-A)
  train_full, val_full, test_full          6,513 / 497 / 2,990 clips, from MSRVTT_data.json alone

DST/{split}.jsonl gets one {"clip_name": "video7020", "caption": "..."} a line. Files are replaced whole or not at all;
running it again changes nothing. Splits that cannot be converted and videos that are not there are listed.
Exit code: 0 all splits written; 1 a split could not be converted.

Example: python tools/dataset_converters/msrvtt.py data/msrvtt data/msrvtt --splits train_9k test_1ka
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('src', type=Path, metavar='SRC', help='folder with MSRVTT_data.json and the CSV files')
    parser.add_argument('dst', type=Path, metavar='DST', help='folder for the .jsonl files (made if absent)')
    parser.add_argument(
        '--splits', nargs='+', choices=list(SPLITS), default=['train_9k', 'test_1ka'], metavar='SPLIT',
        help=f"splits to convert: {', '.join(SPLITS)} (default: train_9k test_1ka)")
    parser.add_argument(
        '--videos', type=Path, metavar='DIR', help='folder of {clip_name}.mp4 to check (default: SRC/videos)')
    return parser.parse_args()


def load(src: Path, split: str) -> list[dict]:
    """Lines of a split.

    Raises:
        AnnotationError: A file is missing or malformed, or the numbers of clips and captions are not the split's.
    """
    pairs = read_split(str(src / 'MSRVTT_data.json'), split)
    lines = [dict(clip_name=name, caption=caption) for _, name, caption in pairs]
    found = len({line['clip_name'] for line in lines}), len(lines)
    source, *expected = SPLITS[split]
    if found != tuple(expected):
        raise AnnotationError('found {:,} clips with {:,} captions, expected {:,} with {:,}; is a file cut off or of '
                              'another release?'.format(*found, *expected))
    return lines


def write(path: Path, lines: list[dict]) -> str:
    """Write the file atomically unless it already has this content; say which."""
    content = ''.join(json.dumps(line, ensure_ascii=False) + '\n' for line in lines).encode()
    if path.is_file() and path.read_bytes() == content:
        return 'unchanged'
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.{os.getpid()}.part')
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return 'written'


def report_videos(folder: Path, names: list[str]) -> None:
    if not folder.is_dir():
        print(f'videos: no folder {folder} (put {{clip_name}}.mp4 there, or name it with --videos)')
        return
    there = set(os.listdir(folder))
    missing = [name for name in names if f'{name}.mp4' not in there]
    print(f'videos: {len(names) - len(missing):,} of {len(names):,} in {folder}')
    for name in missing[:10]:
        print(f'  missing: {name}.mp4')
    if len(missing) > 10:
        print(f'  … and {len(missing) - 10:,} more')


def main() -> int:
    args = parse_args()
    names, failed = {}, 0
    for split in args.splits:
        try:
            lines = load(args.src, split)
        except AnnotationError as error:
            print(f'{split}: NOT converted: {error}')
            failed += 1
            continue
        path = args.dst / f'{split}.jsonl'
        names.update(dict.fromkeys(line['clip_name'] for line in lines))
        print(f'{split}: {len({line["clip_name"] for line in lines}):,} clips, {len(lines):,} captions -> {path} '
              f'({write(path, lines)})')
    if names:
        report_videos(args.videos or args.src / 'videos', list(names))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
