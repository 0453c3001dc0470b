"""Times training steps against plain restatements of what the released codes do, and counts what is resident.

Both ways of a step start from the same random weights and see the same batch. They take steps in turn in one process;
the ratio of the medians counts, and beside it stand the smallest and largest ratio of one round. Losses and gradients
of the first step are compared. Resident bytes are those of parameters, momentum copies and buffers; the optimiser's
state, gradients and activations are not among them. Kept bytes are what the backward pass needs of the forward pass
beside them. Dropout is off, since two ways of computing do not draw alike.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

import torch
from mmengine.registry import init_default_scope

from vlpeft.benchmarks.blip_steps import Geometry, answering, retrieval
from vlpeft.benchmarks.interleave import CLOCKS, interleaved, ratio
from vlpeft.benchmarks.seq2seq_steps import Seq2SeqGeometry, vl_pet
from vlpeft.benchmarks.ways import Pair
from vlpeft.benchmarks.words import write_bert_vocabulary, write_seq2seq_vocabulary
from vlpeft.engine.messages import run_main

TINY = dict(width=24, depth=2, heads=2, hidden=48, image=32, bottleneck=4, queue=16, vocabulary=64)
TINY_LM = dict(width=24, depth=2, heads=2, hidden=48, bottleneck=8, features=12, cells=9, grid=2, words=300)
GIB = 2**30
#: The recipes: MSR-VTT at r = 128; COCO and VQA v2 at r = 512 with key/value adapters; VL-PET large on four tasks.
BLIP = dict(
    video=dict(image=224),
    image=dict(image=384, bottleneck=512, kv_bottleneck=64),
    vqa=dict(image=480, bottleneck=512, kv_bottleneck=64),
)
LM = dict(bart=dict(depth=6, words=50265), t5=dict(depth=12, words=32000, bottleneck=192, scale=0.3))
CASES = (*BLIP, *LM)


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


def build(case: str, args: argparse.Namespace, folder: Path) -> tuple[Pair, dict]:
    """Both ways of a case, and the sizes of the model; those of the recipe, but for what is asked for."""
    asked = dict(image=args.image_size, depth=args.depth)
    if case in LM:
        sizes = {**LM[case], **(TINY_LM if args.tiny else {}), **({} if args.depth is None else dict(depth=args.depth))}
        geometry = Seq2SeqGeometry(case, **sizes)
        vocabulary = write_seq2seq_vocabulary(folder, case, geometry.words)
        return vl_pet(geometry, vocabulary, args.batch_size), vars(geometry)
    tiny = dict(TINY, kv_bottleneck=None if case == 'video' else 2) if args.tiny else {}
    geometry = Geometry(**{**BLIP[case], **tiny, **{name: value for name, value in asked.items() if value is not None}})
    vocabulary = write_bert_vocabulary(folder, geometry.vocabulary)
    if case == 'vqa':
        return answering(geometry, vocabulary, args.batch_size), vars(geometry)
    frames = args.frames if case == 'video' else 1
    return retrieval(geometry, vocabulary, args.batch_size, frames), vars(geometry)


def measure(case: str, args: argparse.Namespace) -> dict:
    """One case."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        pair, geometry = build(case, args, Path(folder))
        first = pair.compare()
    flops, kept = first['flops'], first['kept']
    seconds = interleaved(dict(plain=pair.plain.step, ours=pair.ours.step), args.rounds, warm_up=0, clock=args.clock)
    resident = dict(ours=pair.ours.resident_bytes(), plain=pair.plain.resident_bytes())
    return dict(
        case=case,
        batch=args.batch_size,
        frames=args.frames if case == 'video' else 1,
        geometry=geometry,
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
        kept_bytes=kept,
        kept_ratio=kept['ours'] / kept['plain'],
        losses_differ_by=first['losses'],
        gradients_differ_by=first['gradients'],
        later_losses_differ_by=max(abs(a - b) for a, b in zip(pair.ours.found, pair.plain.found)),
    )


def show(row: dict) -> None:
    """Prints a case."""
    size, speed, seconds = row['geometry'], row['speedup'], row['seconds']
    gflops = row['gflops']
    pixels = f' x {row["frames"]} x {size["image"]} px' if 'image' in size else ''
    print(
        f'{row["case"]}: {row["batch"]}{pixels}, width {size["width"]}, {size["depth"]} '
        f'blocks, r = {size["bottleneck"]}, {row["threads"]} threads, {row["rounds"]} rounds ({row["clock"]})'
    )
    print(
        f'  step        ours {seconds["ours"]:8.2f} s    plain {seconds["plain"]:8.2f} s    ratio '
        f'{speed["median"]:.2f} ({speed["low"]:.2f} to {speed["high"]:.2f})'
    )
    print(
        f'  GFLOP       ours {gflops["ours"]:8.0f}      plain {gflops["plain"]:8.0f}      bound {row["flop_bound"]:.2f}'
    )
    for what in ('resident', 'kept'):
        ours, plain = (row[f'{what}_bytes'][way] / GIB for way in ('ours', 'plain'))
        print(f'  {what:8}    ours {ours:8.2f} GiB  plain {plain:8.2f} GiB  ratio {row[f"{what}_ratio"]:.2f}')
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
