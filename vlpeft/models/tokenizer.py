"""Texts to token ids, the way of each language model. Loaded on first use: building a model needs no vocabulary."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from mmengine.logging import print_log
from torch import Tensor

from vlpeft.bases import base_folder

from .hub import TOKENIZER_FILES, source_options
from .known_words import unknown_words

ORDER_TOKENS = 100
ANSWER = '</a>'


class Tokens(NamedTuple):
    """Token ids and mask, each (B, L)."""

    ids: Tensor
    mask: Tensor


class TextTokenizer:
    """What the tokenizers share; a subclass loads one of transformers'.

    Args:
        vocabulary: Hub name or local directory of the tokenizer, or the name of a base that vlpeft brings.
        max_length: Longest text in tokens, the rest is cut; None cuts nothing.
        vocab_size: Rows of the model's word embeddings, checked on first use.
        trained: ``bos_token_id`` and ``eos_token_id`` of the base, as transformers' configs hold them; on first use
            a warning says where the tokenizer has others. Defaults to {}, unknown.

    Raises:
        ValueError: On first use, if the vocabulary cannot be found, does not fit the model, or lacks a token of
            ``needed``.
    """

    #: What the vocabulary's size includes, for the message.
    extra = ''
    #: Where a config says how many rows the model has.
    option = 'text.vocab_size'
    #: Whether the model may have more rows than there are tokens.
    spare_rows = False
    #: Special tokens without which no text can be written.
    needed: Sequence[str] = ()

    def __init__(
        self,
        vocabulary: str,
        max_length: int | None,
        vocab_size: int,
        trained: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        self.vocabulary, self.max_length, self.vocab_size = vocabulary, max_length, vocab_size
        self.trained = dict(trained)
        self._tokenizer = None

    def load(self):
        """The tokenizer of transformers."""
        raise NotImplementedError(f'{type(self).__name__} has no load')

    def from_pretrained(self, kind):
        """``kind``, a tokenizer class of transformers, of the vocabulary."""
        # A base that vlpeft brings has its vocabulary beside it.
        name = str(base_folder(self.vocabulary) or self.vocabulary)
        options = source_options(name, 'vocabulary', TOKENIZER_FILES)
        try:
            # A folder or hub may name programs of its own, which transformers would ask about and run.
            return kind.from_pretrained(name, trust_remote_code=False, **options)
        except (ImportError, KeyError, OSError, TypeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(
                f'vocabulary {self.vocabulary!r} is no tokenizer that {kind.__name__} reads: {reason}'
            ) from error

    @property
    def tokenizer(self):
        """The library's tokenizer, loaded and checked at first use."""
        if self._tokenizer is None:
            tokenizer = self.load()
            if len(tokenizer) > self.vocab_size or not self.spare_rows and len(tokenizer) != self.vocab_size:
                raise ValueError(
                    f'vocabulary {self.vocabulary!r} has {len(tokenizer)} tokens{self.extra}, '
                    f'the text model {self.vocab_size} ({self.option})'
                )
            if lacking := self.lacks(tokenizer):
                raise ValueError(f'vocabulary {self.vocabulary!r} has no {" and no ".join(lacking)}')
            for fault in self._odd_ends(tokenizer):
                print_log(f'vocabulary {self.vocabulary!r} {fault}', 'current', logging.WARNING)
            self._tokenizer = tokenizer
        return self._tokenizer

    def lacks(self, tokenizer) -> list[str]:
        """Which of the tokens that are needed there are not."""
        return [name for name in self.needed if name not in tokenizer.special_tokens_map]

    def _odd_ends(self, tokenizer) -> Iterator[str]:
        """What is unusual about the tokens that begin and end a text."""
        tokens = {name: tokenizer.special_tokens_map.get(f'{name}_token') for name in ('bos', 'eos')}
        known = {name: _ids(self.trained.get(f'{name}_token_id'), self.vocab_size) for name in tokens}
        if tokens['bos'] == tokens['eos'] is not None and not (known['bos'] and known['bos'] == known['eos']):
            yield (
                f'begins and ends a text with one token, {tokens["eos"]!r}; it is not known that the base was '
                'trained so, and one that was not cannot tell a beginning from an end'
            )
        for name, verb in (('bos', 'begins'), ('eos', 'ends')):
            token = None if tokens[name] is None else tokenizer.convert_tokens_to_ids(tokens[name])
            if token is not None and known[name] and token not in known[name]:
                yield (
                    f'{verb} a text with {tokens[name]!r}, token {token}; the base was trained with token '
                    f'{" or ".join(map(str, known[name]))} (lm.{name}_token_id)'
                )

    def ids(self, texts: Sequence[str], max_length: int | None = None) -> list[list[int]]:
        """Unpadded token ids of each text, start and end token included.

        Args:
            texts: Any number.
            max_length: As for the class. Defaults to None: the one that the tokenizer was built with.
        """
        length = self.max_length if max_length is None else max_length
        found = self.tokenizer(list(texts), truncation=length is not None, max_length=length, verbose=False)
        return found['input_ids']

    def unknown_words(self, words: Sequence[str]) -> list[str]:
        """Those of some words that the vocabulary does not know, see :mod:`vlpeft.models.known_words`."""
        return unknown_words(self.tokenizer, words)

    def text(self, ids: Sequence[int]) -> str:
        """The text of token ids, without special tokens."""
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    def texts(self, ids: Tensor) -> list[str]:
        """The texts of rows of token ids, without special tokens."""
        return self.tokenizer.batch_decode(ids, skip_special_tokens=True)

    def pad(self, ids: Sequence[list[int]], device: torch.device) -> Tokens:
        """Ids of several texts, padded as the model reads them: here with zeros to the longest."""
        return pad([torch.tensor(row) for row in ids], device)

    def __call__(self, texts: Sequence[str], device: torch.device) -> Tokens:
        """Ids and mask of ``texts``."""
        return self.pad(self.ids(texts), device)


class CaptionTokenizer(TextTokenizer):
    """WordPiece of BERT (such as ``'bert-base-uncased'``) with ``[DEC]`` and ``[ENC]`` appended: ``[CLS] … [SEP]``."""

    extra = ' with [DEC] and [ENC]'

    def load(self):
        from transformers import BertTokenizerFast

        tokenizer = self.from_pretrained(BertTokenizerFast)
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

        return self.from_pretrained(CLIPTokenizerFast)


class SiglipTokenizer(TextTokenizer):
    """SigLIP's and SigLIP 2's (such as ``'google/siglip2-base-patch16-224'``): lower case, padded to ``max_length``
    with the padding token, since the model reads its padding.
    """

    spare_rows = True
    needed = ('pad_token',)

    def load(self):
        from transformers import AutoTokenizer

        return self.from_pretrained(AutoTokenizer)

    def ids(self, texts: Sequence[str], max_length: int | None = None) -> list[list[int]]:
        """As :class:`TextTokenizer`; SigLIP was trained on lower case, which not every tokenizer of its files makes."""
        return super().ids([text.lower() for text in texts], max_length)

    def unknown_words(self, words: Sequence[str]) -> list[str]:
        """Of their lower case, which is what the model reads."""
        return super().unknown_words([word.lower() for word in words])

    def pad(self, ids: Sequence[list[int]], device: torch.device) -> Tokens:
        """Padded to the full length."""
        rows = [torch.tensor(row) for row in ids]
        return pad(rows, device, self.max_length, value=self.tokenizer.pad_token_id)


class Seq2SeqTokenizer(TextTokenizer):
    """BART's or T5's, with T5's 100 ``<extra_id_i>`` and 100 ``<vis_extra_id_i>``, the order tokens of image cells,
    appended in falling order: the last token of the vocabulary is ``<vis_extra_id_0>``.
    """

    extra = ' with <extra_id_0…99> and <vis_extra_id_0…99>'

    def load(self):
        from transformers import AutoTokenizer

        tokenizer = self.from_pretrained(AutoTokenizer)
        added = [f'<{name}_{i}>' for name in ('extra_id', 'vis_extra_id') for i in reversed(range(ORDER_TOKENS))]
        _add(tokenizer, added)
        return tokenizer

    def pad(self, ids: Sequence[list[int]], device: torch.device) -> Tokens:
        """Padded with the padding token to the longest of ``ids``."""
        return pad([torch.tensor(row) for row in ids], device, value=self.tokenizer.pad_token_id)


class CausalTokenizer(TextTokenizer):
    """A decoder-only language model's, with ``</a>``, which stands between question and answer, appended.

    OPT's becomes token 50,265, one of the spare rows of its 50,272 embeddings.
    """

    extra = f' with {ANSWER}'
    option = 'vocab_size'
    spare_rows = True
    needed = ('bos_token', 'eos_token')

    def load(self):
        from transformers import AutoTokenizer

        tokenizer = self.from_pretrained(AutoTokenizer)
        _add(tokenizer, [ANSWER])
        return tokenizer

    def lacks(self, tokenizer) -> list[str]:
        is_begun = self._start_id(tokenizer) is not None
        return [name for name in super().lacks(tokenizer) if name != 'bos_token' or not is_begun]

    def _start_id(self, tokenizer) -> int | None:
        """Id of the token that begins a text: the vocabulary's or, where it has none, as Qwen's, the base's."""
        trained = _ids(self.trained.get('bos_token_id'), len(tokenizer))
        return tokenizer.bos_token_id if tokenizer.bos_token_id is not None else next(iter(trained), None)

    @property
    def end_id(self) -> int:
        """Id of the token that ends a text."""
        return self.tokenizer.eos_token_id

    def prompts(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of texts to be continued: a start token and no end token."""
        return [[self._start_id(self.tokenizer), *ids] for ids in self._plain(texts)]

    def targets(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of continuations: no start token, an end token, which is removed where a text has it inside."""
        texts = [text.replace(self.tokenizer.eos_token, '') for text in texts]
        return [[*ids, self.end_id] for ids in self._plain(texts)]

    def _plain(self, texts: Sequence[str]) -> list[list[int]]:
        return self.tokenizer(list(texts), add_special_tokens=False)['input_ids']

    def pad(self, ids: Sequence[list[int]], device: torch.device, left: bool = False) -> Tokens:
        """Padded on the right or the ``left`` with the padding token or, of models without one, the end token."""
        value = self.tokenizer.pad_token_id
        return pad([torch.tensor(row) for row in ids], device, value=self.end_id if value is None else value, left=left)


def _add(tokenizer, tokens: Sequence[str]) -> None:
    """Special tokens beside those that there are; the second argument, whether they replace these, was renamed in
    transformers 5.
    """
    tokenizer.add_special_tokens(dict(additional_special_tokens=tokens), False)


def _ids(trained: object, rows: int) -> Sequence[int]:
    """Token ids of a config's entry: one, several or None; a default of larger vocabularies says nothing."""
    several = trained if isinstance(trained, (list, tuple)) else [trained]
    return [token for token in several if token is not None and token < rows]


def pad(ids: Sequence[Tensor], device: torch.device, length: int = 0, value: int = 0, left: bool = False) -> Tokens:
    """Pads id vectors with ``value`` on the right, or on the ``left``, to the longest of them, or to ``length`` if that
    is more.
    """
    length = max(length, max(len(row) for row in ids))
    lengths = torch.tensor([len(row) for row in ids])
    mask = (torch.arange(length)[None] < lengths[:, None]).long()
    mask = mask.flip(1) if left else mask
    padded = torch.full((len(ids), length), value)
    padded[mask.bool()] = torch.cat(list(ids))
    return Tokens(padded.to(device, non_blocking=True), mask.to(device, non_blocking=True))
