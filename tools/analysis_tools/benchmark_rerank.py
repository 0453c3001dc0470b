"""Times re-ranking at BLIP-base geometry with random weights against the plain loop over queries.

The plain loop scores a query's k candidates as released: texts padded to 35 tokens, keys and values of each candidate's
vision tokens projected for each pair. Ours goes clip by clip: keys and values once, texts cut to their real length.
Both score the same pairs in the same process, in turn; times are those of one pass each. FLOPs are counted by
torch, and the bound is their ratio.
"""

import argparse
import json
import sys

import torch
from mmengine.registry import init_default_scope
from torch import Tensor

from vlpeft.engine.flop_timing import timed
from vlpeft.engine.messages import run_main

CASES = {'8x197': (8, 197, 128), '577': (1, 577, 256)}
PADDED, VOCAB = 35, 30524


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--queries', type=int, default=2, help='clips whose k texts are scored (default: 2)')
    parser.add_argument('--k', type=int, help='texts per clip (default: 128 for 8x197 tokens, 256 for 577)')
    parser.add_argument('--cases', nargs='+', choices=list(CASES), default=list(CASES))
    parser.add_argument('--naive-batch', type=int, default=16, help='pairs per pass of the plain loop (default: 16)')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--json', action='store_true', help='print one JSON object per case')
    return parser.parse_args(argv)


def build_model() -> torch.nn.Module:
    """BLIP-base's text side under a retriever; the vision tower is not run."""
    from vlpeft.registry import MODELS

    model = MODELS.build(
        dict(
            type='Retriever',
            vision=dict(
                type='mmpretrain.VisionTransformer',
                arch='base',
                img_size=32,
                patch_size=16,
                out_type='raw',
                final_norm=True,
            ),
            text=dict(type='BlipTextEncoder', vocab_size=VOCAB, dropout=0.0),
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
    from vlpeft.models.tasks.reranker import ClipBank, TextBank, score_pairs

    frames_count, per_frame, k = CASES[name]
    k = args.k or k
    generator = torch.Generator().manual_seed(0)
    tokens = {i: torch.randn(frames_count * per_frame, 768, generator=generator) for i in range(args.queries)}
    frames = torch.nn.functional.normalize(torch.randn(args.queries, frames_count, 256, generator=generator), dim=-1)
    lengths = torch.randint(8, 17, (k,), generator=generator).tolist()
    texts = [torch.randint(1000, VOCAB - 2, (length,), generator=generator) for length in lengths]
    features = torch.nn.functional.normalize(torch.randn(k, 256, generator=generator), dim=-1)
    pairs = {clip: list(range(k)) for clip in tokens}
    ours = timed(
        lambda: torch.stack(
            list(
                score_pairs(
                    model, ClipBank(tokens, frames), TextBank(texts, features), pairs, 1, 64, torch.device('cpu')
                ).values()
            )
        )
    )
    naive = timed(
        lambda: torch.stack(
            [plain(model, tokens[clip], frames[clip], texts, features, args.naive_batch) for clip in tokens]
        )
    )
    count = args.queries * k
    return dict(
        case=f'{frames_count}x{per_frame} tokens, k={k}',
        pairs=count,
        largest_difference=float((ours['result'] - naive['result']).abs().max()),
        pairs_per_second=dict(ours=count / ours['seconds'], plain=count / naive['seconds']),
        speedup=naive['seconds'] / ours['seconds'],
        gflops_per_pair=dict(ours=ours['flops'] / count / 1e9, plain=naive['flops'] / count / 1e9),
        flop_bound=naive['flops'] / ours['flops'],
    )


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    init_default_scope('vlpeft')
    model = build_model()
    for name in args.cases:
        row = run_case(model, name, args)
        if args.json:
            print(json.dumps(row))
            continue
        speed, flops = row['pairs_per_second'], row['gflops_per_pair']
        print(f'{row["case"]}, {row["pairs"]} pairs, {args.threads} threads')
        print(
            f'  pairs/s     ours {speed["ours"]:8.1f}   plain loop {speed["plain"]:8.1f}   ratio {row["speedup"]:.1f}'
        )
        print(
            f'  GFLOP/pair  ours {flops["ours"]:8.2f}   plain loop {flops["plain"]:8.2f}   bound '
            f'{row["flop_bound"]:.1f}'
        )
        print(f'  largest difference of a score: {row["largest_difference"]:.1e}')


if __name__ == '__main__':
    sys.exit(run_main(main))
