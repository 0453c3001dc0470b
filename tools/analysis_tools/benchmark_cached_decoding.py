"""Times greedy and beam decoding of captions behind a perceptual token, with the cache of keys and values and without.

The language model has OPT-125m's geometry by default and random weights; encoder outputs are random vectors, so that
the language model alone is timed. Both ways decode the same number of tokens in the same process, in turn; the ratio
of the medians counts, beside the smallest and largest of a round. The largest difference of their logits is printed
beside. With few captions at a time a CPU mostly waits for the weights to be read, in either way.
"""

import argparse
import json
import statistics
import sys

import torch
from mmengine.registry import init_default_scope
from rich.console import Console
from rich.progress import track
from torch import Tensor

from vlpeft.benchmarks.interleave import CLOCKS, interleaved, ratio
from vlpeft.engine.messages import run_main

# layers, width, heads, width of word embeddings
SIZES = {'tiny': (8, 32, 2, 32), '125m': (12, 768, 12, 768), '350m': (24, 1024, 16, 512), '1.3b': (24, 2048, 32, 2048)}
ENCODER = dict(embed_dims=768, num_layers=6, num_heads=12, feedforward_channels=3072)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', choices=list(SIZES), default='125m', help='geometry of OPT (default: 125m)')
    parser.add_argument('--visual-row', choices=('causal', 'full', 'both'), default='both', help='default: both')
    parser.add_argument('--beams', type=int, nargs='+', default=[1, 3], help='default: 1 3')
    parser.add_argument('--captions', type=int, default=32, help='decoded together (default: 32)')
    parser.add_argument('--tokens', type=int, default=20, help='new tokens of each caption (default: 20)')
    parser.add_argument('--repeat', type=int, default=1, help='timed repetitions (default: 1)')
    parser.add_argument('--clock', choices=list(CLOCKS), default='wall', help='default: wall')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--json', action='store_true', help='print one JSON object per line')
    return parser.parse_args(argv)


def build(size: str, visual_row: str, device: str):
    """The model; its released layers are the last half of all but the last."""
    from vlpeft.registry import MODELS

    layers, width, heads, words = SIZES[size]
    lm = dict(
        model_type='opt',
        num_hidden_layers=layers,
        hidden_size=width,
        num_attention_heads=heads,
        ffn_dim=4 * width,
        word_embed_proj_dim=words,
        do_layer_norm_before=size != '350m',
    )
    model = MODELS.build(
        dict(
            type='PerceptualLM',
            lm=lm,
            vocab_size=50272,
            vocabulary='',
            visual_row=visual_row,
            encoder=dict(type='mmpretrain.VisionTransformer', arch=ENCODER, img_size=32, patch_size=16, out_type='raw'),
            adapter=dict(type='EPALM', levels=6, start=layers - 7, end=layers - 1),
            tasks=dict(caption=dict()),
        )
    )
    model.eval()
    return model.to(device)


def decode(model, vectors: Tensor, beams: int, tokens: int, cached: bool) -> list[Tensor]:
    """The logits of every step. No token ends a caption."""
    from vlpeft.models.continuation import Continuation
    from vlpeft.models.decoding import beam_search
    from vlpeft.models.tokenizer import Tokens

    start = torch.full((len(vectors), 1), 2, device=vectors.device)
    step = Continuation(model.reader, Tokens(start, torch.ones_like(start)), model.lead(vectors), beams, cached)
    logits: list[Tensor] = []

    def endless(ids, origin):
        found = step(ids, origin)
        found[:, 2] = torch.finfo(found.dtype).min
        logits.append(found)
        return found

    beam_search(endless, start, beams, 2, 1 + tokens)
    return logits


@torch.no_grad()
def compare(model, visual_row: str, beams: int, args: argparse.Namespace) -> dict:
    """Times of both ways, per caption."""
    vectors = torch.randn(args.captions, 6, ENCODER['embed_dims'], device=args.device)
    logits: dict[bool, list[Tensor]] = {}

    def way(cached: bool) -> None:
        logits[cached] = decode(model, vectors, beams, args.tokens, cached)

    decode(model, vectors[:1], beams, 3, True)  # warm up
    ways = dict(cached=lambda: way(True), uncached=lambda: way(False))
    seconds = interleaved(ways, args.repeat, warm_up=0, clock=args.clock)
    difference = max(float((a - b).abs().max()) for a, b in zip(logits[True], logits[False], strict=True))
    return dict(
        size=args.size,
        visual_row=visual_row,
        beams=beams,
        captions=args.captions,
        tokens=args.tokens,
        clock=args.clock,
        cached_s=statistics.median(seconds['cached']) / args.captions,
        uncached_s=statistics.median(seconds['uncached']) / args.captions,
        ratio=ratio(seconds['uncached'], seconds['cached']),
        logits_differ_by=difference,
    )


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    init_default_scope('vlpeft')
    import vlpeft.models  # noqa: F401

    rows = ('causal', 'full') if args.visual_row == 'both' else (args.visual_row,)
    records = []
    for visual_row, beams in track(
        [(row, beams) for row in rows for beams in args.beams], 'decoding', console=Console(stderr=True)
    ):
        records.append(compare(build(args.size, visual_row, args.device), visual_row, beams, args))
    for record in records:
        if args.json:
            print(json.dumps(record))
            continue
        gain = record['ratio']
        print(
            f'OPT-{args.size}, visual_row={record["visual_row"]}, beams={record["beams"]}, {args.captions} captions '
            f'of {args.tokens} tokens: {record["cached_s"]:.3f} s each cached, {record["uncached_s"]:.3f} s not, '
            f'{gain["median"]:.1f}x ({gain["low"]:.1f} to {gain["high"]:.1f}); logits differ by '
            f'{record["logits_differ_by"]:.1e}'
        )


if __name__ == '__main__':
    sys.exit(run_main(main))
