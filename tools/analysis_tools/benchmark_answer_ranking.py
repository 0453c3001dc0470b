"""Times ranking of answers at BLIP-base geometry with random weights against the plain tiled computation.

The plain one decodes each shortlisted answer from its start token beside its own copy of the question's states, padded
to the longest answer of the list. Ours decodes the start token and projects the question once, decodes answers of equal
length together and skips logits that nobody reads. Both rank the same shortlist in the same process; times are those of
one pass each. FLOPs are counted by torch.
"""

import argparse
import json
import sys

import torch
from mmengine.registry import init_default_scope
from torch import Tensor

from vlpeft.engine.flop_timing import timed
from vlpeft.engine.messages import run_main

VOCAB, START, END = 30524, 30522, 102


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--questions', type=int, default=2, help='default: 2')
    parser.add_argument('--question-length', type=int, default=10, help='tokens of a question (default: 10)')
    parser.add_argument('--answers', type=int, default=3128, help='length of the closed list (default: 3128)')
    parser.add_argument('--longest', type=int, default=6, help='most words of an answer, one word each (default: 6)')
    parser.add_argument('--k', type=int, default=128, help='shortlisted answers (default: 128)')
    parser.add_argument('--plain-batch', type=int, default=64, help='answers per pass of the plain way (default: 64)')
    parser.add_argument('--threads', type=int, default=2)
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
def plain(decoder, states: Tensor, mask: Tensor, answers, k: int, batch: int) -> Tensor:
    """The tiled computation: (B,) indices into the list."""
    from vlpeft.models.backbones import CrossContext
    from vlpeft.models.tasks.answer_ranking import token_scores
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
            per_token = token_scores(logits, ids[:, 1:], 0.0) * seen[:, 1:]
            scores[row, start_at : start_at + len(part)] = per_token.sum(1)
    return likely.gather(1, scores.argmax(1)[:, None])[:, 0]


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    init_default_scope('vlpeft')
    from vlpeft.models.tasks.answer_ranking import rank_answers
    from vlpeft.models.tasks.vqa import QuestionContext
    from vlpeft.registry import MODELS

    decoder = MODELS.build(dict(type='BlipTextDecoder', vocab_size=VOCAB, dropout=0.0))
    decoder.init_weights()
    decoder.eval()
    states = torch.randn(args.questions, args.question_length, 768)
    mask = torch.ones(args.questions, args.question_length)
    answers = draw_answers(args.answers, args.longest)

    def ours():
        with torch.no_grad():
            questions = QuestionContext(decoder.bert.project_context(states), mask)
            return rank_answers(decoder, questions, answers, START, args.k, 0.0, 512).answers[:, 0]

    ours()  # warm up
    fast = timed(ours)
    slow = timed(lambda: plain(decoder, states, mask, answers, args.k, args.plain_batch))
    record = dict(
        k=args.k,
        questions=args.questions,
        answers=args.answers,
        same=bool((fast['result'] == slow['result']).all()),
        questions_per_s=args.questions / fast['seconds'],
        plain_questions_per_s=args.questions / slow['seconds'],
        speed_up=slow['seconds'] / fast['seconds'],
        gflop=fast['flops'] / 1e9,
        plain_gflop=slow['flops'] / 1e9,
        flop_ratio=slow['flops'] / fast['flops'],
    )
    if args.json:
        print(json.dumps(record))
        return
    print(f'k={args.k} of {args.answers} answers, {args.questions} questions of {args.question_length} tokens')
    for name, key in (('plain', 'plain_'), ('ours', '')):
        print(f'{name:>6}: {record[f"{key}questions_per_s"]:8.2f} questions/s {record[f"{key}gflop"]:10.1f} GFLOP')
    print(f'{record["speed_up"]:.1f}x faster, {record["flop_ratio"]:.1f}x fewer FLOPs, same answers: {record["same"]}')


if __name__ == '__main__':
    sys.exit(run_main(main))
