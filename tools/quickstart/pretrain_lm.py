"""Pre-trains the language model of a config on lines of text, without pictures, and writes it as transformers does.

OUT gets config.json, model.safetensors and a tokenizer with one token a word. BART learns to restore a line of which
words are masked and phrases are swapped (Lewis et al., ACL 2020); OPT learns to continue a line.
"""

import argparse
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vlpeft.engine.messages import run_main
from vlpeft.engine.progress import Steps

#: Ids 0 to 4, as BART's; OPT begins a text with <s> here.
SPECIALS = ['<s>', '<pad>', '</s>', '<unk>', '<mask>']
PAD, END, MASK = 1, 2, 4
WORDS = re.compile(r'</a>|\w+|[^\w\s]')
IGNORED = -100
PHRASES = re.compile(r' (?=and |on a )')


def build_tokenizer(lines: list[str], size: int):
    """A tokenizer of transformers with one token for each word of the lines, filled up to ``size``.

    Raises:
        ValueError: There are more words.
    """
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = sorted({word for line in lines for word in WORDS.findall(line)} - set(SPECIALS))
    tokens = SPECIALS + words
    if len(tokens) > size:
        raise ValueError(
            f'the text has {len(words)} different words; with {len(SPECIALS)} special ones room is for {size}'
        )
    tokens += [f'[unused{i}]' for i in range(size - len(tokens))]
    rules = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token='<unk>'))
    rules.pre_tokenizer = pre_tokenizers.Split(Regex(WORDS.pattern), behavior='removed', invert=True)
    rules.post_processor = processors.TemplateProcessing(
        single='<s> $A </s>', special_tokens=[('<s>', 0), ('</s>', END)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=rules,
        bos_token='<s>',
        eos_token='</s>',
        unk_token='<unk>',
        pad_token='<pad>',
        mask_token='<mask>',
    )


def spoil(line: str, rng: Random) -> str:
    """BART's noise: the phrases in another order, a random share of the words masked."""
    phrases = PHRASES.split(line)
    rng.shuffle(phrases)
    share = rng.uniform(0, 0.6)
    return ' '.join('<mask>' if rng.random() < share else word for word in ' '.join(phrases).split())


def batches(lines: list[str], size: int, rng: Random) -> Iterator[list[str]]:
    """Random batches without end, every line once an epoch."""
    while True:
        order = rng.sample(lines, len(lines))
        for i in range(0, len(order) - size + 1, size):
            yield order[i : i + size]


def encode(tokenizer, lines: list[str]) -> tuple[Tensor, Tensor]:
    found = tokenizer(lines, padding=True, return_tensors='pt')
    return found['input_ids'], found['attention_mask']


def loss_of(lm: nn.Module, tokenizer, lines: list[str], rng: Random) -> Tensor:
    """Cross-entropy of the tokens of a batch."""
    ids, mask = encode(tokenizer, lines)
    labels = ids.masked_fill(mask == 0, IGNORED)
    if lm.config.is_encoder_decoder:
        read, read_mask = encode(tokenizer, [spoil(line, rng) for line in lines])
        return lm(input_ids=read, attention_mask=read_mask, labels=labels).loss
    logits = lm(input_ids=ids, attention_mask=mask).logits
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:])


def train(lm: nn.Module, tokenizer, lines: list[str], steps: int, batch: int, lr: float, rng: Random) -> None:
    """AdamW with a short warm-up and a cosine, and a bar."""
    optimizer = torch.optim.AdamW(lm.parameters(), lr=lr, weight_decay=0.01)
    warmup = max(steps // 20, 1)

    def rate(step: int) -> float:
        return min((step + 1) / warmup, 0.5 * (1 + math.cos(math.pi * step / steps)))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    stream = batches(lines, batch, rng)
    lm.train()
    with Steps('pre-training', steps) as shown:
        for _ in range(steps):
            loss = loss_of(lm, tokenizer, next(stream), rng)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(lm.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            shown.step()
    lm.eval()
    print(f'{steps} steps, loss of the last {loss.item():.3f}')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config whose model.lm is the geometry, e.g. configs/quickstart/_captions_.py')
    parser.add_argument('text', type=Path, help='lines of text')
    parser.add_argument('out', type=Path, help='folder to write')
    parser.add_argument('--steps', type=int, default=300, help='default 300')
    parser.add_argument('--batch', type=int, default=64, help='lines a step, default 64')
    parser.add_argument('--lr', type=float, default=2e-3, help='highest learning rate, default 2e-3')
    parser.add_argument('--seed', type=int, default=0, help='default 0')
    return parser.parse_args(argv)


def build_lm(model: dict) -> tuple[nn.Module, int]:
    """The language model of a config, and how many tokens its vocabulary has before the task model adds its own."""
    from vlpeft.models.backbones import build_causal_lm, build_seq2seq_lm
    from vlpeft.models.tokenizer import ORDER_TOKENS

    if model['type'] == 'VLSeq2Seq':
        rows = model['vocab_size'] - 2 * ORDER_TOKENS
        return build_seq2seq_lm(dict(model['lm']), rows), rows
    return build_causal_lm(dict(model['lm']), model['vocab_size']), model['vocab_size']


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    from vlpeft.engine.config_file import read_config

    torch.manual_seed(args.seed)
    lm, rows = build_lm(read_config(args.config).model)
    lines = args.text.read_text().splitlines()
    tokenizer = build_tokenizer(lines, rows)
    train(lm, tokenizer, lines, args.steps, args.batch, args.lr, Random(args.seed))
    lm.save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)
    print(f'{args.out}: {sum(param.numel() for param in lm.parameters()):,} parameters, {len(tokenizer)} tokens')


if __name__ == '__main__':
    sys.exit(run_main(main))
