"""Times re-ranking at BLIP-base geometry with random weights against the plain loop over queries.

The plain loop scores a query's k candidates as released: texts padded to 35 tokens, keys and values of each candidate's
vision tokens projected for each pair. Ours goes clip by clip: keys and values once, texts batched by their real length.
Both run in the same process, in turn; the ratio is that of the median times of a pair, beside the smallest and largest
ratio of a round. The plain loop scores a share of ours' pairs, and the scores of these are compared. FLOPs are counted
by torch.
"""

import argparse
import json
import statistics
import sys

import torch
from mmengine.registry import init_default_scope
from torch import Tensor

from vlpeft.benchmarks.interleave import CLOCKS, interleaved, ratio
from vlpeft.engine.flop_timing import timed
from vlpeft.engine.messages import run_main

CASES = {'8x197': (8, 197, 128), '577': (1, 577, 256)}
PADDED, VOCAB = 35, 30524


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--k', type=int, help='texts of the clip (default: 128 for 8x197 tokens, 256 for 577)')
    parser.add_argument('--cases', nargs='+', choices=list(CASES), default=list(CASES))
    parser.add_argument('--rounds', type=int, default=3, help='default: 3')
    parser.add_argument('--batch', type=int, default=256, help='pairs of a pass of ours (default: 256)')
    parser.add_argument('--plain-batch', type=int, default=16, help='pairs of a pass of the plain loop (default: 16)')
    parser.add_argument('--plain-pairs', type=int, default=16, help='pairs that the plain loop scores (default: 16)')
    parser.add_argument('--depth', type=int, default=12, help='blocks of the text encoder (default: 12)')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument(
        '--clock',
        choices=list(CLOCKS),
        default='wall',
        help='cpu counts the time of the processor, which other work on the machine does not lengthen (default: wall)',
    )
    parser.add_argument('--json', action='store_true', help='print one JSON object per case')
    return parser.parse_args(argv)


def build_model(depth: int) -> torch.nn.Module:
    """BLIP-base's text side under a retriever; the vision tower is not run."""
    from vlpeft.registry import MODELS

    model = MODELS.build(
        dict(
            type='Retriever',
            vision=dict(
                type='mmpretrain.VisionTransformer',
                arch=dict(embed_dims=768, num_layers=depth, num_heads=12, feedforward_channels=3072),
                img_size=32,
                patch_size=16,
                out_type='raw',
                final_norm=True,
            ),
            text=dict(type='BlipTextEncoder', vocab_size=VOCAB, depth=depth, dropout=0.0),
            itc_head=dict(type='ITCHead', queue_size=1),
            itm_head=dict(type='ITMHead'),
            adapter=dict(type='UniAdapter', bottleneck=128),
            frame_aware=True,
        )
    )
    model.eval()
    return model


@torch.no_grad()
def plain(model, tokens: Tensor, frames: Tensor, texts: list[Tensor], features: Tensor, batch: int) -> Tensor:
    """One clip's texts, pair by pair in batches, as released."""
    from vlpeft.models.backbones import CrossContext
    from vlpeft.models.tokenizer import pad

    logits = []
    for start in range(0, len(texts), batch):
        chosen = range(start, min(start + batch, len(texts)))
        states = tokens.expand(len(chosen), -1, -1)
        weights = model.key_weights(
            features[list(chosen)], frames.expand(len(chosen), -1, -1), tokens.shape[0] // frames.shape[0]
        )
        context = CrossContext(model.text.project_context(states.contiguous()), key_weights=weights)
        padded = pad([texts[i] for i in chosen], tokens.device, PADDED)
        logits.append(model.itm_head(model.match(padded, context))[:, 1])
    return torch.cat(logits)


def run_case(model, name: str, args: argparse.Namespace) -> dict:
    """Times one case; each round takes another clip."""
    from vlpeft.models.tasks.reranker import ClipBank, TextBank, score_pairs

    frames_count, per_frame, k = CASES[name]
    k = args.k or k
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(frames_count * per_frame, 768, generator=generator)
    frames = torch.nn.functional.normalize(torch.randn(1, frames_count, 256, generator=generator), dim=-1)
    lengths = torch.randint(8, 17, (k,), generator=generator).tolist()
    texts = [torch.randint(1000, VOCAB - 2, (length,), generator=generator) for length in lengths]
    features = torch.nn.functional.normalize(torch.randn(k, 256, generator=generator), dim=-1)
    # The plain loop pads all texts alike, so a share of them tells its time for each pair.
    share = list(range(0, k, max(1, k // args.plain_pairs)))[: args.plain_pairs]
    bank, clips, found = TextBank(texts, features), ClipBank({0: tokens}, frames), {}

    def ours() -> None:
        found['ours'] = score_pairs(model, clips, bank, {0: list(range(k))}, 1, args.batch, torch.device('cpu'))[0]

    def naive() -> None:
        found['plain'] = plain(model, tokens, frames[0], [texts[i] for i in share], features[share], args.plain_batch)

    flops = {way: timed(run)['flops'] / pairs for way, run, pairs in (('ours', ours, k), ('plain', naive, len(share)))}
    seconds = interleaved(dict(ours=ours, plain=naive), args.rounds, warm_up=0, clock=args.clock)
    each = dict(ours=[spent / k for spent in seconds['ours']], plain=[spent / len(share) for spent in seconds['plain']])
    return dict(
        case=f'{frames_count}x{per_frame} tokens, k={k}',
        pairs=dict(ours=k, plain=len(share)),
        rounds=args.rounds,
        threads=args.threads,
        clock=args.clock,
        torch=torch.__version__,
        largest_difference=float((found['ours'][share] - found['plain']).abs().max()),
        pairs_per_second={way: 1 / statistics.median(spent) for way, spent in each.items()},
        speedup=ratio(each['plain'], each['ours']),
        gflops_per_pair={way: count / 1e9 for way, count in flops.items()},
        flop_bound=flops['plain'] / flops['ours'],
    )


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    init_default_scope('vlpeft')
    model = build_model(args.depth)
    for name in args.cases:
        row = run_case(model, name, args)
        if args.json:
            print(json.dumps(row))
            continue
        speed, flops, gain = row['pairs_per_second'], row['gflops_per_pair'], row['speedup']
        print(f'{row["case"]}, {args.rounds} rounds in turn, {args.threads} threads')
        print(
            f'  pairs/s     ours {speed["ours"]:8.1f}   plain loop {speed["plain"]:8.1f}   ratio {gain["median"]:.1f} '
            f'({gain["low"]:.1f} to {gain["high"]:.1f})'
        )
        print(
            f'  GFLOP/pair  ours {flops["ours"]:8.2f}   plain loop {flops["plain"]:8.2f}   ratio '
            f'{row["flop_bound"]:.1f}'
        )
        print(f'  largest difference of a score: {row["largest_difference"]:.1e}')


if __name__ == '__main__':
    sys.exit(run_main(main))
