"""Draws the quickstart's data: captioned CLIPS (H.264 mp4) to adapt to and, if asked for, STILLS to pre-train on.

    OUT/stills/{train,test}.jsonl    {"image": "images/x.png", "caption": [...]}
    OUT/clips/{train,val,test}.jsonl {"video": "videos/x.mp4", "caption": [...]}

The same seed gives the same files. Every validation and test caption fits one clip of its set only; validation and test
clips come in groups that show the same things and differ in what happens, and those combinations are not in training.
"""

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path
from random import Random

from vlpeft.datasets import drawn
from vlpeft.datasets.drawn.sets import GROUP
from vlpeft.engine.messages import run_main
from vlpeft.engine.progress import Steps


def stamp_of(parameters: dict) -> dict:
    """The parameters and a digest of the generator's own source: what decides whether files are up to date."""
    files = [*sorted(Path(drawn.__file__).parent.glob('*.py')), Path(__file__)]
    source = b''.join(file.read_bytes() for file in files)
    return dict(parameters, source=hashlib.sha256(source).hexdigest())


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='folder to write, e.g. data/quickstart')
    parser.add_argument('--seed', type=int, default=0, help='default 0')
    parser.add_argument('--stills', type=int, default=0, help='training stills, default 0: none, and no test stills')
    parser.add_argument('--still-tests', type=int, default=160, help='test stills, default 160')
    parser.add_argument('--train', type=int, default=640, help='training clips, default 640')
    parser.add_argument('--val', type=int, default=32, help='validation clips, even, default 32')
    parser.add_argument('--test', type=int, default=64, help='test clips, even, default 64')
    parser.add_argument('--captions', type=int, default=5, help='captions of a training clip, default 5')
    parser.add_argument('--workers', type=int, default=2, help='processes, default 2')
    args = parser.parse_args(argv)
    if args.val % GROUP or args.test % GROUP:
        parser.error(f'--val and --test must be multiples of {GROUP}, got {args.val} and {args.test}')
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    stamp = stamp_of({k: v for k, v in vars(args).items() if k not in ('out', 'workers')})
    stamp_file = args.out / 'stamp.json'
    if stamp_file.exists() and json.loads(stamp_file.read_text()) == stamp:
        print(f'{args.out} is up to date (seed {args.seed})')
        return
    stamp_file.unlink(missing_ok=True)
    for folder in ('stills', 'clips'):
        shutil.rmtree(args.out / folder, ignore_errors=True)

    rng = Random(args.seed)
    jobs = []
    for name, scenes in drawn.draw_clip_sets(dict(train=args.train, val=args.val, test=args.test), rng).items():
        count = args.captions if name == 'train' else 1
        items = [(scene, [drawn.describe_clip(scene, rng) for _ in range(count)]) for scene in scenes]
        jobs += drawn.write_set(args.out / 'clips', 'video', name, items, args.seed)
    stills = dict(train=args.stills, test=args.still_tests) if args.stills else {}
    for name, scenes in (drawn.draw_still_sets(stills, rng) if stills else {}).items():
        count = 3 if name == 'train' else 1
        is_full = name == 'test'
        items = [(scene, [drawn.describe_still(scene, rng, is_full) for _ in range(count)]) for scene in scenes]
        jobs += drawn.write_set(args.out / 'stills', 'image', name, items, args.seed)
    with Steps('drawing', len(jobs)) as steps:
        drawn.run_jobs(jobs, args.workers, steps.step)
    stamp_file.write_text(json.dumps(stamp, indent=1) + '\n')
    print(f'{sum(stills.values())} stills and {args.train + args.val + args.test} clips in {args.out}')


if __name__ == '__main__':
    sys.exit(run_main(main))
