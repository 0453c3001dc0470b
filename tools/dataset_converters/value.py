"""Check the annotations, subtitles and features of VALUE's TVQA, How2QA, TVC and YC2C, which are read as they come."""

import argparse
import os
import sys
from pathlib import Path
from typing import NamedTuple

from vlpeft.datasets.annotations import AnnotationError, read_jsonl
from vlpeft.datasets.subtitles import read_subtitles
from vlpeft.datasets.value import read_descriptions, read_question
from vlpeft.engine.messages import run_main

EPILOG = """
SRC is laid out as VALUE's download scripts leave it, and so the configs read it:
  SRC/ann/{tv,how2,yc2}_subtitles.jsonl
  SRC/ann/tvqa/tvqa_{train,val,test_release}.jsonl
  SRC/ann/how2qa/how2qa_{train,val,test_public}_release.jsonl
  SRC/ann/tvc/tvc_{train,val,test}_release.jsonl
  SRC/ann/yc2c/yc2c_{train,val,test}_release.jsonl
  SRC/vis_features/{tv,how2,yc2}/clip-vit/{vid_name}.npz

Every record is checked; other numbers of records than the known ones, videos without subtitles and videos without
features are reported. Nothing is written.
Exit code: 0 all annotations can be read; 1 a file is missing or malformed.

Example: python tools/dataset_converters/value.py data/vlpet/video --tasks tvqa how2qa
"""


class Task(NamedTuple):
    """``folder`` of subtitles and features, known number of records by split file, ``choices`` of a question."""

    folder: str
    splits: dict[str, int | None]
    choices: int | None = None


TASKS = dict(
    tvqa=Task('tv', dict(train=122039, val=15253, test_release=15253), 5),
    how2qa=Task('how2', dict(train_release=34187, val_release=3115, test_public_release=3095), 4),
    tvc=Task('tv', dict(train_release=86603, val_release=10895, test_release=None)),
    yc2c=Task('yc2', dict(train_release=None, val_release=None, test_release=None)),
)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', type=Path, metavar='SRC', help='folder that holds ann/ and vis_features/')
    parser.add_argument(
        '--tasks',
        nargs='+',
        choices=list(TASKS),
        default=list(TASKS),
        metavar='TASK',
        help=f'tasks to check: {", ".join(TASKS)} (default: all)',
    )
    args = parser.parse_args(argv)
    return int(sum(_check(args.src, name, TASKS[name]) for name in args.tasks) > 0)


def _check(src: Path, name: str, task: Task) -> int:
    """Report on a task; returns the number of files that cannot be used."""
    failed, videos = 0, {}
    for split, expected in task.splits.items():
        path = src / 'ann' / name / f'{name}_{split}.jsonl'
        try:
            found = [_video(where, record, task.choices) for where, record in read_jsonl(str(path))]
        except AnnotationError as error:
            print(f'{name} {split}: NOT usable: {error}')
            failed += 1
            continue
        differs = '' if expected in (None, len(found)) else f', expected {expected:,}; cut off or of another release?'
        print(f'{name} {split}: {len(found):,} records of {len(set(found)):,} videos{differs}')
        videos.update(dict.fromkeys(found))
    if not videos:
        return failed
    try:
        _report(f'{name} subtitles', list(videos), read_subtitles(str(src / f'ann/{task.folder}_subtitles.jsonl')))
    except AnnotationError as error:
        print(f'{name} subtitles: NOT usable: {error}')
        failed += 1
    folder = src / 'vis_features' / task.folder / 'clip-vit'
    stored = {name.removesuffix('.npz') for name in os.listdir(folder)} if folder.is_dir() else set()
    _report(f'{name} features in {folder}', list(videos), stored)
    return failed


def _video(where: str, record: dict, choices: int | None) -> str:
    if choices is None:
        return read_descriptions(where, record)[0]['name']
    return read_question(where, record, choices)['name']


def _report(what: str, videos: list[str], there) -> None:
    missing = [video for video in videos if video not in there]
    shown = f', missing: {", ".join(missing[:3])}{", …" if len(missing) > 3 else ""}' if missing else ''
    print(f'{what}: {len(videos) - len(missing):,} of {len(videos):,} videos{shown}')


if __name__ == '__main__':
    sys.exit(run_main(main))
