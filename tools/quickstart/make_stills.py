"""Generates the data of the captioning and the answering quickstart: drawn PICTURES, and TEXT without pictures.

    OUT/captions_{train,test}.jsonl     {"image": "images/x.png", "caption": "..."}
    OUT/questions_{train,test}.jsonl    {"image": "images/x.png", "question": "...", "answer": "..."}
    OUT/captions.txt                    captions of other scenes, which nobody draws, one a line
    OUT/questions.txt                   such captions with three questions, each with its answer behind </a>

The same seed gives the same files. Each caption tells all of its picture in one fixed style; each question has one true
answer. What a test picture combines (number, size, colour and background) is in no training picture.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

from vlpeft.datasets import drawn
from vlpeft.datasets.drawn.questions import ask_circles, combination, draw_circles, state_circles
from vlpeft.engine.messages import run_main
from vlpeft.engine.progress import Steps
from vlpeft.models.tokenizer import ANSWER

#: Scenes in which every combination occurs, of 144.
ENOUGH = 4000
#: Questions in one text, and the share of texts that are a question alone.
ASKED, ALONE_SHARE = 3, 0.2


def draw_scenes(count: int, rng: Random, is_allowed: Callable[[drawn.Scene], bool]) -> list[drawn.Scene]:
    """Draw ``count`` scenes that are allowed."""
    scenes = []
    while len(scenes) < count:
        scene = draw_circles(rng)
        if is_allowed(scene):
            scenes.append(scene)
    return scenes


def hold_out(rng: Random) -> set:
    """Draw the combinations that only test pictures have, a sixth of all."""
    everything = sorted({combination(scene) for scene in draw_scenes(ENOUGH, rng, lambda scene: True)}, key=str)
    return set(rng.sample(everything, len(everything) // 6))


def write_lines(path: Path, records: list) -> None:
    """Write texts as they are and objects as JSON, one a line."""
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    path.write_text('\n'.join(lines) + '\n')


def write_pictures(root: Path, name: str, scenes: list[drawn.Scene], seed: int, rng: Random) -> list:
    """Write the annotation files of a set and return the drawing jobs of its pictures."""
    captions, questions, jobs = [], [], []
    for number, scene in enumerate(scenes):
        image = f'images/{name}_{number:04d}.png'
        jobs.append((drawn.write_still, str(root / image), scene, f'{seed} {image}'))
        captions.append(dict(image=image, caption=state_circles(scene)))
        questions += [dict(image=image, question=text, answer=answer) for text, answer in ask_circles(scene, rng)]
    write_lines(root / f'captions_{name}.jsonl', captions)
    write_lines(root / f'questions_{name}.jsonl', questions)
    return jobs


def write_texts(root: Path, scenes: list[drawn.Scene], rng: Random) -> None:
    """Write what the language models read before they see anything."""
    write_lines(root / 'captions.txt', [state_circles(scene) for scene in scenes])
    lines = []
    for scene in scenes:
        asked = [f'{question}{ANSWER}{answer}' for question, answer in rng.sample(ask_circles(scene, rng), ASKED)]
        # A question without anything to read teaches which answers are likely.
        lines.append(asked[0] if rng.random() < ALONE_SHARE else '. '.join([state_circles(scene), *asked]))
    write_lines(root / 'questions.txt', lines)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='folder to write, e.g. data/quickstart/pictures')
    parser.add_argument('--seed', type=int, default=0, help='default 0')
    parser.add_argument('--train', type=int, default=2000, help='training pictures, default 2000')
    parser.add_argument('--test', type=int, default=160, help='test pictures, default 160')
    parser.add_argument('--texts', type=int, default=10000, help='lines of text, default 10000')
    parser.add_argument('--workers', type=int, default=2, help='processes, default 2')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    rng = Random(args.seed)
    shutil.rmtree(args.out, ignore_errors=True)
    (args.out / 'images').mkdir(parents=True)
    held_out = hold_out(rng)

    test = draw_scenes(args.test, rng, lambda scene: combination(scene) in held_out)
    train = draw_scenes(args.train, rng, lambda scene: combination(scene) not in held_out)
    jobs = write_pictures(args.out, 'test', test, args.seed, rng)
    jobs += write_pictures(args.out, 'train', train, args.seed, rng)
    write_texts(args.out, draw_scenes(args.texts, rng, lambda scene: True), rng)
    with Steps('drawing', len(jobs)) as steps:
        drawn.run_jobs(jobs, args.workers, steps.step)
    print(f'{args.train + args.test} pictures and {args.texts} lines of text in {args.out}')


if __name__ == '__main__':
    sys.exit(run_main(main))
