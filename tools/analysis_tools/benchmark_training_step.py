"""Times training steps against plain restatements of what the released codes do, and counts what is resident.

Both ways of a step start from the same random weights and see the same batch. They take steps in turn in one process;
the ratio of the medians counts, and beside it stand the smallest and largest ratio of one round. Losses and gradients
of the first step are compared. Resident bytes are those of parameters, momentum copies and buffers; the optimiser's
state, gradients and activations are not among them. Dropout is off, since two ways of computing do not draw alike.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

import torch
from mmengine.registry import init_default_scope
from torch.utils.flop_counter import FlopCounterMode

from vlpeft.benchmarks.interleave import CLOCKS, interleaved, ratio
from vlpeft.benchmarks.training_steps import Geometry, Pair, Way, answering, retrieval, write_vocabulary
from vlpeft.engine.messages import run_main

TINY = dict(width=24, depth=2, heads=2, hidden=48, image=32, bottleneck=4, queue=16, vocabulary=64)
GIB = 2**30
CASES = ('video', 'image', 'vqa')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--cases', nargs='+', choices=CASES, default=list(CASES), help='default: all')
    parser.add_argument('--batch-size', type=int, default=2, help='clips, images or questions (default: 2)')
    parser.add_argument('--frames', type=int, default=8, help='of a clip (default: 8)')
    parser.add_argument('--image-size', type=int, help='in pixels (default: 224; 384 of images, 480 of questions)')
    parser.add_argument('--depth', type=int, help='blocks of each tower (default: 12)')
    parser.add_argument('--tiny', action='store_true', help='towers of two narrow blocks, to see that all works')
    parser.add_argument('--rounds', type=int, default=3, help='timed steps of each way (default: 3)')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--clock', choices=list(CLOCKS), default='wall', help='default: wall')
    parser.add_argument('--json', action='store_true', help='print one JSON object per case')
    return parser.parse_args(argv)


def geometry_of(case: str, args: argparse.Namespace) -> Geometry:
    """The recipe's, but for what is asked for."""
    # The recipes: MSR-VTT at r = 128; COCO and VQA v2 at r = 512 with key/value adapters.
    recipes = dict(
        video=dict(image=224),
        image=dict(image=384, bottleneck=512, kv_bottleneck=64),
        vqa=dict(image=480, bottleneck=512, kv_bottleneck=64),
    )
    sizes = {**recipes[case], **(dict(TINY, kv_bottleneck=None if case == 'video' else 2) if args.tiny else {})}
    asked = dict(image=args.image_size, depth=args.depth)
    return Geometry(**{**sizes, **{name: value for name, value in asked.items() if value is not None}})


def build(case: str, geometry: Geometry, args: argparse.Namespace, vocabulary: str) -> Pair:
    if case == 'vqa':
        return answering(geometry, vocabulary, args.batch_size)
    return retrieval(geometry, vocabulary, args.batch_size, args.frames if case == 'video' else 1)


def flops_of(way: Way) -> int:
    """Floating-point operations of a forward and backward pass."""
    with FlopCounterMode(display=False) as counter:
        way.backward()
    way.optimizer.zero_grad()
    return counter.get_total_flops()


def measure(case: str, args: argparse.Namespace) -> dict:
    """One case."""
    torch.manual_seed(0)
    geometry = geometry_of(case, args)
    with tempfile.TemporaryDirectory() as folder:
        pair = build(case, geometry, args, write_vocabulary(Path(folder), geometry.vocabulary))
        differences = pair.compare()
    flops = dict(ours=flops_of(pair.ours), plain=flops_of(pair.plain))
    seconds = interleaved(dict(plain=pair.plain.step, ours=pair.ours.step), args.rounds, warm_up=0, clock=args.clock)
    resident = dict(ours=pair.ours.resident_bytes(), plain=pair.plain.resident_bytes())
    return dict(
        case=case,
        batch=args.batch_size,
        frames=args.frames if case == 'video' else 1,
        geometry=vars(geometry),
        threads=args.threads,
        clock=args.clock,
        rounds=args.rounds,
        torch=torch.__version__,
        speedup=ratio(seconds['plain'], seconds['ours']),
        seconds={name: statistics.median(found) for name, found in seconds.items()},
        gflops={name: count / 1e9 for name, count in flops.items()},
        flop_bound=flops['plain'] / flops['ours'],
        resident_bytes=resident,
        resident_ratio=resident['ours'] / resident['plain'],
        losses_differ_by=differences['losses'],
        gradients_differ_by=differences['gradients'],
        later_losses_differ_by=max(abs(a - b) for a, b in zip(pair.ours.found, pair.plain.found)),
    )


def show(row: dict) -> None:
    """Prints a case."""
    size, speed, seconds = row['geometry'], row['speedup'], row['seconds']
    gflops, resident = row['gflops'], row['resident_bytes']
    print(
        f'{row["case"]}: {row["batch"]} x {row["frames"]} x {size["image"]} px, width {size["width"]}, {size["depth"]} '
        f'blocks, r = {size["bottleneck"]}, {row["threads"]} threads, {row["rounds"]} rounds ({row["clock"]})'
    )
    print(
        f'  step        ours {seconds["ours"]:8.2f} s    plain {seconds["plain"]:8.2f} s    ratio '
        f'{speed["median"]:.2f} ({speed["low"]:.2f} to {speed["high"]:.2f})'
    )
    print(
        f'  GFLOP       ours {gflops["ours"]:8.0f}      plain {gflops["plain"]:8.0f}      bound {row["flop_bound"]:.2f}'
    )
    print(
        f'  resident    ours {resident["ours"] / GIB:8.2f} GiB  plain {resident["plain"] / GIB:8.2f} GiB  ratio '
        f'{row["resident_ratio"]:.2f}'
    )
    print(
        f'  largest difference of the losses {row["losses_differ_by"]:.1e}, of gradients '
        f'{row["gradients_differ_by"]:.1e} of their largest entry, of later losses {row["later_losses_differ_by"]:.1e}'
    )


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    init_default_scope('vlpeft')
    for case in args.cases:
        row = measure(case, args)
        if args.json:
            print(json.dumps(row), flush=True)
        else:
            show(row)


if __name__ == '__main__':
    sys.exit(run_main(main))
