"""Sets of drawn scenes: how they are split, and writing them as own data (docs/data.md)."""

import itertools
import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from random import Random

from .render import write_clip, write_still
from .scenes import COLOURS, SHAPES, Look, Scene, could_be_confused, draw_clip, draw_still

GROUP = 2
PAIR_SHARE = 0.4
LOOKS = [(colour, shape) for colour in COLOURS for shape in SHAPES]
# Two things of a clip differ in colour and in shape.
PAIRS = [(one, two) for one, two in itertools.combinations(LOOKS, 2) if one[0] != two[0] and one[1] != two[1]]


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
        if scene.things and not any(could_be_confused(scene, other) for other in sets['test']):
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


def run_jobs(jobs: list, workers: int, done: Callable[[], None] = lambda: None) -> None:
    """Draw and write all pictures and clips; ``done`` is called after each."""
    with multiprocessing.Pool(workers) as pool:
        for _ in pool.imap_unordered(_write, jobs, chunksize=16):
            done()
        # Workers that end by themselves: the block would send a signal, which they may have inherited a handler for.
        pool.close()
        pool.join()


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
