"""Times ranking of answers at BLIP-base geometry with random weights against the plain tiled computation.

The plain one decodes each shortlisted answer from its start token beside its own copy of the question's states, padded
to the longest answer of the list. Ours decodes the start token and each beginning once, projects the question once and
skips logits that nobody reads; once for the whole ranking, and once for the best answer alone, as an evaluation asks,
which leaves answers that have fallen behind. All work on the same shortlists in the same process, in turn; a ratio is
that of the medians, beside the smallest and largest of a round. FLOPs are counted by torch. Random weights hardly tell
answers apart, so they leave few behind; trained ones leave most.
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

VOCAB, START, END = 30524, 30522, 102


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--questions', type=int, default=4, help='default: 4, which fill a pass of ours')
    parser.add_argument('--question-length', type=int, default=10, help='tokens of a question (default: 10)')
    parser.add_argument('--answers', type=int, default=3128, help='length of the closed list (default: 3128)')
    parser.add_argument('--longest', type=int, default=6, help='most words of an answer, one word each (default: 6)')
    parser.add_argument('--k', type=int, default=128, help='shortlisted answers (default: 128)')
    parser.add_argument('--plain-batch', type=int, default=64, help='answers per pass of the plain way (default: 64)')
    parser.add_argument('--rounds', type=int, default=2, help='default: 2')
    parser.add_argument('--depth', type=int, default=12, help='blocks of the decoder (default: 12)')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument(
        '--clock',
        choices=list(CLOCKS),
        default='wall',
        help='cpu counts the time of the processor, which other work on the machine does not lengthen (default: wall)',
    )
    parser.add_argument('--json', action='store_true', help='print one JSON object')
    return parser.parse_args(argv)


def draw_answers(count: int, longest: int):
    """Answers whose lengths fall off as in VQA v2's list: most have one word, each further word halves their number."""
    from vlpeft.models.tasks.answer_ranking import AnswerBank

    generator = torch.Generator().manual_seed(0)
    words = (torch.rand(count, generator=generator).log2().neg().long() + 1).clamp(max=longest)
    ids = [[101, *torch.randint(1000, 30000, (int(n),), generator=generator).tolist(), END] for n in words]
    return AnswerBank([str(i) for i in range(count)], ids)


@torch.no_grad()
def plain(decoder, states: Tensor, mask: Tensor, answers, k: int, batch: int) -> tuple[Tensor, Tensor]:
    """The tiled computation: (B, k) indices into the list, and their scores."""
    from vlpeft.models.backbones import CrossContext
    from vlpeft.models.tokenizer import pad

    tokens = pad([torch.tensor([START, *ids[1:]]) for ids in answers.ids], states.device)
    start = torch.full((len(states), 1), START)
    context = CrossContext(decoder.bert.project_context(states), mask=mask)
    first = decoder(start, torch.ones_like(start), context)[:, 0].log_softmax(-1)
    likely = first[:, tokens.ids[:, 1]].sort(dim=1, descending=True, stable=True).indices[:, :k]
    scores = torch.empty(likely.shape)
    for row, chosen in enumerate(likely):
        for start_at in range(0, len(chosen), batch):
            part = chosen[start_at : start_at + batch]
            tiled = CrossContext(
                decoder.bert.project_context(states[row].repeat(len(part), 1, 1)), mask=mask[row].repeat(len(part), 1)
            )
            ids, seen = tokens.ids[part], tokens.mask[part]
            logits = decoder(ids, seen, tiled)[:, :-1]
            per_token = logits.log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0] * seen[:, 1:]
            scores[row, start_at : start_at + len(part)] = per_token.sum(1)
    return likely, scores


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    init_default_scope('vlpeft')
    from vlpeft.models.tasks.answer_ranking import rank_answers
    from vlpeft.models.tasks.vqa import QuestionContext
    from vlpeft.registry import MODELS

    decoder = MODELS.build(dict(type='BlipTextDecoder', vocab_size=VOCAB, depth=args.depth, dropout=0.0))
    decoder.init_weights()
    decoder.eval()
    states = torch.randn(args.questions, args.question_length, 768)
    mask = torch.ones(args.questions, args.question_length)
    answers = draw_answers(args.answers, args.longest)
    found = {}

    @torch.no_grad()
    def ours(name: str, best_only: bool) -> None:
        questions = QuestionContext(decoder.bert.project_context(states), mask)
        found[name] = rank_answers(decoder, questions, answers, START, args.k, 0.0, 512, best_only)

    def tiled() -> None:
        found['plain'] = plain(decoder, states, mask, answers, args.k, args.plain_batch)

    ways = dict(plain=tiled, ranking=lambda: ours('ranking', False), best=lambda: ours('best', True))
    flops = {name: timed(way)['flops'] for name, way in ways.items()}
    seconds = interleaved(ways, args.rounds, warm_up=0, clock=args.clock)
    likely, scores = found['plain']
    ranked = torch.full((args.questions, args.answers), -torch.inf).scatter(1, *found['ranking'])
    top = likely.gather(1, scores.argmax(1)[:, None])[:, 0]
    record = dict(
        k=args.k,
        questions=args.questions,
        answers=args.answers,
        rounds=args.rounds,
        threads=args.threads,
        clock=args.clock,
        torch=torch.__version__,
        same=all(bool((found[name].answers[:, 0] == top).all()) for name in ('ranking', 'best')),
        largest_difference=float((ranked.gather(1, likely) - scores).abs().max()),
        questions_per_s={name: args.questions / statistics.median(spent) for name, spent in seconds.items()},
        speed_up={name: ratio(seconds['plain'], seconds[name]) for name in ('ranking', 'best')},
        gflop={name: count / 1e9 for name, count in flops.items()},
        flop_ratio={name: flops['plain'] / flops[name] for name in ('ranking', 'best')},
    )
    if args.json:
        print(json.dumps(record))
        return
    print(f'k={args.k} of {args.answers} answers, {args.questions} questions of {args.question_length} tokens')
    for name, speed in record['questions_per_s'].items():
        print(f'{name:>8}: {speed:8.2f} questions/s {record["gflop"][name]:10.1f} GFLOP')
    for name, gain in record['speed_up'].items():
        print(
            f'{name:>8}: {gain["median"]:.1f}x faster ({gain["low"]:.1f} to {gain["high"]:.1f}), '
            f'{record["flop_ratio"][name]:.1f}x fewer FLOPs'
        )
    print(f'same answers: {record["same"]}, largest difference of a score {record["largest_difference"]:.1e}')


if __name__ == '__main__':
    sys.exit(run_main(main))
