"""Vocabularies and texts of numbered words, for models of any number of words."""

import json
import random
from pathlib import Path


def write_bert_vocabulary(folder: Path, size: int) -> str:
    """A vocabulary of BERT's special tokens and numbered words; ``[DEC]`` and ``[ENC]`` are added by the tokenizer."""
    specials = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    words = [f'w{number}' for number in range(size - len(specials) - 2)]
    (folder / 'vocab.txt').write_text('\n'.join([*specials, *words]) + '\n')
    return str(folder)


def random_texts(count: int, words: tuple[int, int], vocabulary: int) -> list[str]:
    """Texts of numbered words, each of a length between ``words``."""
    draw = random.Random(0)
    return [' '.join(f'w{draw.randrange(vocabulary - 7)}' for _ in range(draw.randint(*words))) for _ in range(count)]


def write_seq2seq_vocabulary(folder: Path, family: str, size: int) -> str:
    """A tokenizer of BART (``'bart'``, ``size`` words) or T5 (``'t5'``, without its ``<extra_id_i>``) that knows bytes
    or letters, and names the other words so that no text has them.
    """
    if family == 'bart':
        from tokenizers.pre_tokenizers import ByteLevel
        from transformers import BartTokenizerFast

        words = ['<s>', '<pad>', '</s>', '<unk>', *sorted(ByteLevel.alphabet()), '<mask>']
        words += [f'<w{number}>' for number in range(size - len(words))]
        (folder / 'vocab.json').write_text(json.dumps({word: number for number, word in enumerate(words)}))
        (folder / 'merges.txt').write_text('#version: 0.2\n')
        BartTokenizerFast(str(folder / 'vocab.json'), str(folder / 'merges.txt')).save_pretrained(folder)
        return str(folder)
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import T5TokenizerFast

    pieces = ['<pad>', '</s>', '<unk>', '\u2581', *'abcdefghijklmnopqrstuvwxyz0123456789:']
    pieces += [f'<w{number}>' for number in range(size - len(pieces))]
    tokenizer = Tokenizer(models.Unigram([(piece, -2.0) for piece in pieces], unk_id=2))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing('$A </s>', special_tokens=[('</s>', 1)])
    T5TokenizerFast(tokenizer_object=tokenizer, extra_ids=100).save_pretrained(folder)
    return str(folder)
