"""Times an evaluation of retrieval end to end, at the size of MSR-VTT's 1k test set unless told otherwise.

The model is a recipe's with random weights; clips of random pixels and texts of 8 to 16 tokens lie in memory, so that
nothing is read. Both stages run as in a test: features of all clips and texts, then matching of the k candidates of
each query of both directions. Operations are those that the passes need by shape, and beside what was achieved stands
what a product of two large matrices achieves on the same device in the same number format. A GPU takes seconds; on a
CPU choose --tiny, or few clips.
"""

import argparse
import json
import logging
import statistics
import sys
import time
from types import SimpleNamespace

import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmengine.structures import BaseDataElement
from torch.utils.data import DataLoader, Dataset

from vlpeft.engine.arguments import Positive, add_config_arguments
from vlpeft.engine.messages import run_main

SHORTEST, LONGEST = 8, 16
TINY = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config_arguments(parser)
    parser.add_argument('--clips', type=int, action=Positive, default=1000, help='with a text each (default: 1000)')
    parser.add_argument('--frames', type=int, action=Positive, default=8, help='of a clip (default: 8)')
    parser.add_argument('--k', type=int, action=Positive, default=128, help='candidates of a query (default: 128)')
    parser.add_argument('--batch-size', type=int, action=Positive, default=8, help='clips of a pass (default: 8)')
    parser.add_argument('--rounds', type=int, action=Positive, default=1, help='timed evaluations (default: 1)')
    parser.add_argument('--tiny', action='store_true', help='two narrow blocks in each tower, pictures of 32 pixels')
    parser.add_argument('--amp', action='store_true', help='bfloat16 autocast')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--threads', type=int, action=Positive, default=2)
    parser.add_argument('--json', action='store_true', help='print one JSON object')
    return parser.parse_args(argv)


class RandomClips(Dataset):
    """Clips of random pixels with a text each.

    Args:
        count: Clips.
        frames: Of each.
        size: Their height and width.
    """

    def __init__(self, count: int, frames: int, size: tuple[int, int]) -> None:
        generator = torch.Generator().manual_seed(0)
        self.pool = torch.randint(0, 256, (16, frames, 3, *size), dtype=torch.uint8, generator=generator)
        self.lengths = torch.randint(SHORTEST, LONGEST + 1, (count,), generator=generator).tolist()

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> dict:
        from vlpeft.analysis.flop_inputs import words

        sample = BaseDataElement(
            clip_id=index, text_ids=[index], texts=[words(self.lengths[index])], name=f'clip {index}'
        )
        return dict(inputs=self.pool[index % len(self.pool)].roll(index), data_samples=sample)


def narrow(model: Config) -> None:
    """Two narrow blocks in each tower."""
    width, hidden = TINY['embed_dims'], TINY['feedforward_channels']
    model.vision.update(arch=TINY, img_size=32, patch_size=16)
    model.text.update(
        vocab_size=100, width=width, depth=TINY['num_layers'], heads=2, hidden=hidden, context_width=width
    )
    model.itc_head.update(vision_width=width, text_width=width, embed_width=16, queue_size=64)
    model.itm_head.update(width=width)


def product_rate(device: str, amp: bool) -> float:
    """FLOP/s of a product of two large square matrices."""
    size = 8192 if device.startswith('cuda') else 2048
    matrix = torch.randn(size, size, device=device, dtype=torch.bfloat16 if amp else torch.float32)
    seconds = []
    for _ in range(6):
        began = now(device)
        matrix @ matrix
        seconds.append(now(device) - began)
    return 2 * size**3 / statistics.median(seconds[1:])


def now(device: str) -> float:
    if device.startswith('cuda'):
        torch.cuda.synchronize()
    return time.perf_counter()


def operations(cfg: Config, loop, lengths: list[int], frames: int) -> tuple[float, int]:
    """FLOPs of an evaluation, and pairs that it matched."""
    from vlpeft.analysis.flop_inputs import Sizes
    from vlpeft.analysis.flops import build, inference

    rows = inference(build(cfg.model), Sizes(frames=frames, text=round(statistics.mean(lengths))))
    clip, text, keys, pair = (row['flops'] for row in rows)
    similarity = loop.gallery.texts @ loop.gallery.clips.T
    wanted = torch.zeros(similarity.shape, dtype=torch.bool)
    wanted.scatter_(1, similarity.topk(min(loop.k_test, len(lengths)), dim=1).indices, True)
    wanted.T.scatter_(1, similarity.T.topk(min(loop.k_test, len(lengths)), dim=1).indices, True)
    pairs = int(wanted.sum())
    return len(lengths) * (clip + text + keys) + pairs * pair, pairs


def measure(args: argparse.Namespace) -> dict:
    from vlpeft.analysis.flop_inputs import image_size
    from vlpeft.analysis.flops import build
    from vlpeft.engine.functions import collate_clips
    from vlpeft.engine.launch import load_config
    from vlpeft.engine.loops.retrieval import RetrievalTestLoop
    from vlpeft.registry import METRICS

    cfg = load_config(args.config, args.cfg_options)
    if cfg.model.type != 'Retriever' or cfg.model.get('itm_head') is None:
        raise ValueError(f'{args.config}: its model is no Retriever with a matching head')
    if args.tiny:
        narrow(cfg.model)
    torch.manual_seed(0)
    model = build(cfg.model, device=args.device).eval()
    clips = RandomClips(args.clips, args.frames, image_size(model.vision))
    loader = DataLoader(clips, args.batch_size, collate_fn=collate_clips)
    runner = SimpleNamespace(model=model, call_hook=lambda *_, **__: None, logger=logging.getLogger('benchmark'))
    loop = RetrievalTestLoop(
        runner, loader, Evaluator([METRICS.build(dict(type='RetrievalMetric'))]), k_test=args.k, amp=args.amp
    )
    loop.keeps_gallery = True
    seconds = []
    for _ in range(args.rounds):
        began = now(args.device)
        metrics = loop.evaluate()
        seconds.append(now(args.device) - began)
    flops, pairs = operations(cfg, loop, clips.lengths, args.frames)
    took, peak = statistics.median(seconds), product_rate(args.device, args.amp)
    return dict(
        config=args.config,
        clips=args.clips,
        frames=args.frames,
        k=args.k,
        device=torch.cuda.get_device_name(args.device) if args.device.startswith('cuda') else 'cpu',
        number_format='bfloat16' if args.amp else 'float32',
        seconds=took,
        pairs=pairs,
        tflop=flops / 1e12,
        tflop_per_s=flops / took / 1e12,
        product_tflop_per_s=peak / 1e12,
        share_of_product=flops / took / peak,
        metrics={name: float(value) for name, value in metrics.items()},
    )


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    init_default_scope('vlpeft')
    found = measure(args)
    if args.json:
        print(json.dumps(found))
        return
    print(
        f'{found["clips"]:,} clips of {found["frames"]} frames, as many texts, k = {found["k"]} both ways: '
        f'{found["seconds"]:.1f} s on {found["device"]} in {found["number_format"]}, {found["pairs"]:,} pairs matched\n'
        f'{found["tflop"]:.4g} TFLOP, {found["tflop_per_s"]:.3g} TFLOP/s, {found["share_of_product"]:.0%} of the '
        f'{found["product_tflop_per_s"]:.3g} TFLOP/s of a product of matrices'
    )


if __name__ == '__main__':
    sys.exit(run_main(main))
