"""Generates the quickstart's data: captioned STILLS to pre-train on and captioned CLIPS (H.264 mp4) to adapt to.

    OUT/stills/{train,test}.jsonl    {"image": "images/x.png", "caption": [...]}
    OUT/clips/{train,val,test}.jsonl {"video": "videos/x.mp4", "caption": [...]}

The same seed gives the same files. Every validation and test caption fits one clip of its set only; validation and test
clips come in groups that show the same things and differ in what happens, and those combinations are not in training.
"""

import argparse
import hashlib
import itertools
import json
import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

from captions import describe_clip, describe_still
from render import write_clip, write_still
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from scenes import COLOURS, SHAPES, Look, Scene, could_be_confused, draw_clip, draw_still

GROUP = 2
PAIR_SHARE = 0.7
LOOKS = [(colour, shape) for colour in COLOURS for shape in SHAPES]
PAIRS = list(itertools.combinations(LOOKS, 2))


def draw_group(looks: list[Look], others: list[Scene], rng: Random) -> list[Scene]:
    """Draw ``GROUP`` clips of the same things, none to be confused with each other or with ``others``."""
    scenes = []
    while len(scenes) < GROUP:
        scene = draw_clip(looks, rng)
        if not any(could_be_confused(scene, other) for other in others + scenes):
            scenes.append(scene)
    return scenes


def draw_clip_sets(sizes: dict[str, int], rng: Random) -> dict[str, list[Scene]]:
    """Draw the clips of all sets.

    Args:
        sizes: Number of clips of ``train``, ``val`` and ``test``; the last two multiples of 2.
        rng: Draws everything.

    Returns:
        The scenes of each set. No combination (see ``Scene.combination``) of ``val`` and ``test`` is in ``train``.
    """
    pairs = rng.sample(PAIRS, len(PAIRS))
    sets, held_out = {}, set()
    for name in ('val', 'test'):
        groups = sizes[name] // GROUP
        pair_groups = round(groups * PAIR_SHARE)
        looks = [pairs.pop() for _ in range(pair_groups)]
        looks += [[look] for look in rng.sample(LOOKS, groups - pair_groups)]
        sets[name] = []
        for group in looks:
            sets[name] += draw_group(list(group), sets[name], rng)
        held_out.update(scene.combination for scene in sets[name])
    train = []
    while len(train) < sizes['train']:
        scene = draw_clip(list(rng.choice(pairs)) if rng.random() < PAIR_SHARE else [rng.choice(LOOKS)], rng)
        if scene.combination not in held_out:
            train.append(scene)
    return dict(sets, train=train)


def draw_still_sets(sizes: dict[str, int], rng: Random) -> dict[str, list[Scene]]:
    """Draw the stills of ``train`` and ``test``; test stills cannot be confused, and none of them is in ``train``."""
    sets = {'test': [], 'train': []}
    while len(sets['test']) < sizes['test']:
        scene = draw_still(rng)
        if not any(could_be_confused(scene, other) for other in sets['test']):
            sets['test'].append(scene)
    held_out = {scene.claims for scene in sets['test']}
    while len(sets['train']) < sizes['train']:
        scene = draw_still(rng)
        if scene.claims not in held_out:
            sets['train'].append(scene)
    return sets


def _write(job: tuple[Callable, str, Scene, str]) -> None:
    writer, path, scene, seed = job
    writer(path, scene, seed)


def run_jobs(jobs: list, workers: int) -> None:
    """Draw and write all pictures and clips with a progress bar."""
    columns = (
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn('ETA'),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress, multiprocessing.Pool(workers) as pool:
        for _ in progress.track(pool.imap_unordered(_write, jobs, chunksize=16), len(jobs), description='drawing'):
            pass


def write_set(root: Path, field: str, name: str, items: list[tuple[Scene, list[str]]], seed: int) -> list:
    """Write one annotation file and return the drawing jobs of its scenes."""
    folder, suffix, writer = {'image': ('images', 'png', write_still), 'video': ('videos', 'mp4', write_clip)}[field]
    (root / folder).mkdir(parents=True, exist_ok=True)
    jobs, lines = [], []
    for i, (scene, captions) in enumerate(items):
        path = f'{folder}/{name}_{i:04d}.{suffix}'
        lines.append(json.dumps({field: path, 'caption': captions}))
        jobs.append((writer, str(root / path), scene, f'{seed} {path}'))
    (root / f'{name}.jsonl').write_text('\n'.join(lines) + '\n')
    return jobs


def stamp_of(parameters: dict) -> dict:
    """The parameters and a digest of the generator's own source: what decides whether files are up to date."""
    folder = Path(__file__).parent
    source = b''.join((folder / f'{name}.py').read_bytes() for name in ('scenes', 'captions', 'render', 'make_clips'))
    return dict(parameters, source=hashlib.sha256(source).hexdigest())


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='folder to write, e.g. data/quickstart')
    parser.add_argument('--seed', type=int, default=0, help='default 0')
    parser.add_argument('--stills', type=int, default=3000, help='training stills, default 3000')
    parser.add_argument('--still-tests', type=int, default=160, help='test stills, default 160')
    parser.add_argument('--train', type=int, default=640, help='training clips, default 640')
    parser.add_argument('--val', type=int, default=64, help='validation clips, even, default 64')
    parser.add_argument('--test', type=int, default=160, help='test clips, even, default 160')
    parser.add_argument('--captions', type=int, default=5, help='captions of a training clip, default 5')
    parser.add_argument('--workers', type=int, default=2, help='processes, default 2')
    args = parser.parse_args()
    if args.val % GROUP or args.test % GROUP:
        parser.error(f'--val and --test must be multiples of {GROUP}, got {args.val} and {args.test}')
    return args


def main() -> None:
    args = parse_args()
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
    for name, scenes in draw_clip_sets(dict(train=args.train, val=args.val, test=args.test), rng).items():
        count = args.captions if name == 'train' else 1
        items = [(scene, [describe_clip(scene, rng) for _ in range(count)]) for scene in scenes]
        jobs += write_set(args.out / 'clips', 'video', name, items, args.seed)
    for name, scenes in draw_still_sets(dict(train=args.stills, test=args.still_tests), rng).items():
        count = 3 if name == 'train' else 1
        is_full = name == 'test'
        items = [(scene, [describe_still(scene, rng, is_full) for _ in range(count)]) for scene in scenes]
        jobs += write_set(args.out / 'stills', 'image', name, items, args.seed)
    run_jobs(jobs, args.workers)
    stamp_file.write_text(json.dumps(stamp, indent=1) + '\n')
    print(f'{args.stills + args.still_tests} stills and {args.train + args.val + args.test} clips in {args.out}')


if __name__ == '__main__':
    main()
