"""Makes a small BERT vocabulary of all words of the captions in annotation files, and of single characters.

The folder loads like any BERT tokenizer (``tokenizer='data/quickstart/vocab'`` in a config). Ids: [PAD] 0, [UNK] 1,
[CLS] 2, [SEP] 3, [MASK] 4; BLIP's [DEC] and [ENC], which the library appends on loading, get SIZE and SIZE + 1.
"""

import argparse
import json
import string
import sys
from pathlib import Path

from vlpeft.datasets.jsonl import captions_of
from vlpeft.datasets.records import read_records
from vlpeft.engine.messages import run_main

SPECIALS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']


def read_captions(files: list[Path]) -> list[str]:
    """All captions of files of own data."""
    return [text for file in files for where, record in read_records(str(file)) for text in captions_of(where, record)]


def make_tokens(captions: list[str], size: int) -> list[str]:
    """Tokens by id: specials, characters (a word that no caption has is spelt), words, and unused rows up to ``size``.

    Raises:
        ValueError: If the captions have more words than fit into ``size``.
    """
    characters = string.ascii_lowercase + string.digits
    words = sorted({word for text in captions for word in text.split()} - set(characters))
    tokens = SPECIALS + list(characters) + [f'##{c}' for c in characters] + words
    if len(tokens) > size:
        raise ValueError(f'{len(words)} different words need a vocabulary of {len(tokens)} tokens; --size is {size}')
    return tokens + [f'[unused{i}]' for i in range(size - len(tokens))]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='folder to write, e.g. data/quickstart/vocab')
    parser.add_argument('annotations', type=Path, nargs='+', help='JSON lines or lists with captions')
    parser.add_argument(
        '--size',
        type=int,
        default=254,
        help='tokens, so that configs can rely on it: with [DEC] and '
        '[ENC] the model has SIZE + 2 word embeddings; default 254',
    )
    args = parser.parse_args(argv)
    tokens = make_tokens(read_captions(args.annotations), args.size)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / 'vocab.txt').write_text('\n'.join(tokens) + '\n')
    (args.out / 'tokenizer_config.json').write_text(
        json.dumps(dict(tokenizer_class='BertTokenizer', do_lower_case=True, model_max_length=512), indent=1) + '\n'
    )
    used = sum(not token.startswith('[unused') for token in tokens)
    print(f'{args.out}: {used} tokens, filled up to {len(tokens)}; text.vocab_size of the model is {len(tokens) + 2}')


if __name__ == '__main__':
    sys.exit(run_main(main))
