"""Texts to token ids, BERT's way with BLIP's two extra tokens or CLIP's. Loaded on first use: building a model needs no
vocabulary."""

from typing import List, NamedTuple, Sequence

import torch
from torch import Tensor


class Tokens(NamedTuple):
    """Token ids and mask, each (B, L), right-padded."""
    ids: Tensor
    mask: Tensor


class TextTokenizer:
    """What the tokenizers share; a subclass loads one of transformers'.

    Args:
        vocabulary: Hub name or local directory of the tokenizer.
        max_length: Longest text in tokens, the rest is cut.
        vocab_size: Rows of the model's word embeddings, checked on first use.

    Raises:
        ValueError: On first use, if the vocabulary does not fit the model.
    """
    #: What the vocabulary's size includes, for the message.
    extra = ''

    def __init__(self, vocabulary: str, max_length: int, vocab_size: int) -> None:
        self.vocabulary, self.max_length, self.vocab_size = vocabulary, max_length, vocab_size
        self._tokenizer = None

    def load(self):
        """The tokenizer of transformers."""
        raise NotImplementedError(f'{type(self).__name__} has no load')

    @property
    def tokenizer(self):
        if self._tokenizer is None:
            tokenizer = self.load()
            if len(tokenizer) != self.vocab_size:
                raise ValueError(f'vocabulary {self.vocabulary!r} has {len(tokenizer)} tokens{self.extra}, '
                                 f'the text model {self.vocab_size} (text.vocab_size)')
            self._tokenizer = tokenizer
        return self._tokenizer

    def ids(self, texts: Sequence[str]) -> List[List[int]]:
        """Unpadded token ids of each text, start and end token included."""
        return self.tokenizer(list(texts), truncation=True, max_length=self.max_length)['input_ids']

    def text(self, ids: Sequence[int]) -> str:
        """The text of token ids, without special tokens."""
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    def __call__(self, texts: Sequence[str], device: torch.device) -> Tokens:
        """Padded to the longest of ``texts``."""
        return pad([torch.tensor(ids) for ids in self.ids(texts)], device)


class CaptionTokenizer(TextTokenizer):
    """WordPiece of BERT (such as ``'bert-base-uncased'``) with ``[DEC]`` and ``[ENC]`` appended: ``[CLS] … [SEP]``."""
    extra = ' with [DEC] and [ENC]'

    def load(self):
        from transformers import BertTokenizerFast
        tokenizer = BertTokenizerFast.from_pretrained(self.vocabulary)
        tokenizer.add_special_tokens(dict(bos_token='[DEC]', additional_special_tokens=['[ENC]']))
        return tokenizer

    @property
    def encode_id(self) -> int:
        """Id of ``[ENC]``, which replaces token 0 in multimodal passes."""
        return self.vocab_size - 1

    @property
    def decode_id(self) -> int:
        """Id of ``[DEC]``, which starts a decoded text."""
        return self.vocab_size - 2

    @property
    def end_id(self) -> int:
        """Id of ``[SEP]``, which ends a text."""
        return self.tokenizer.sep_token_id


class ClipTokenizer(TextTokenizer):
    """Byte-pair encoding of CLIP (such as ``'openai/clip-vit-base-patch16'``), its end token last."""

    def load(self):
        from transformers import CLIPTokenizerFast
        return CLIPTokenizerFast.from_pretrained(self.vocabulary)


def pad(ids: Sequence[Tensor], device: torch.device, length: int = 0) -> Tokens:
    """Right-pads id vectors with 0 to the longest of them, or to ``length`` if that is more."""
    length = max(length, max(len(row) for row in ids))
    lengths = torch.tensor([len(row) for row in ids])
    mask = (torch.arange(length)[None] < lengths[:, None]).long()
    padded = torch.zeros(len(ids), length, dtype=torch.long)
    padded[mask.bool()] = torch.cat(list(ids))
    return Tokens(padded.to(device, non_blocking=True), mask.to(device, non_blocking=True))
