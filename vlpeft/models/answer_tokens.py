"""Answers of image-text-to-text models: what ends them, and their texts and tokens, by the model's own processor."""

from collections.abc import Sequence
from functools import cached_property

from torch import Tensor

from .hub import TOKENIZER_FILES, source_options

#: A word that no chat template holds.
_WORD = 'vlpeft'


class AnswerTokens:
    """Loaded on first use: building a model needs no processor.

    Args:
        processor: Hub name or directory of the model's processor.

    Raises:
        ValueError: On first use, if the processor cannot be found.
    """

    def __init__(self, processor: str) -> None:
        self.name = processor

    @cached_property
    def processor(self):
        """transformers' processor."""
        from transformers import AutoProcessor

        files = ('processor_config.json', 'preprocessor_config.json', *TOKENIZER_FILES)
        options = source_options(self.name, 'processor', files)
        return AutoProcessor.from_pretrained(self.name, trust_remote_code=False, **options)

    @property
    def tokenizer(self):
        """The processor's tokenizer."""
        return self.processor.tokenizer

    @cached_property
    def turn_end(self) -> int | None:
        """The special token that the chat template puts behind what the assistant says, if there is one."""
        if not getattr(self.processor, 'chat_template', None):
            return None
        turns = [
            dict(role=role, content=[dict(type='text', text=text)])
            for role, text in (('user', '?'), ('assistant', _WORD))
        ]
        rest = self.processor.apply_chat_template(turns, tokenize=False).rpartition(_WORD)[2]
        ids = self.tokenizer(rest, add_special_tokens=False)['input_ids']
        return ids[0] if ids and ids[0] in self.tokenizer.added_tokens_decoder else None

    def ends(self, known: int | Sequence[int] | None) -> list[int]:
        """The tokens that end an answer: the tokenizer's, the chat template's, and those that the model knows."""
        known = [] if known is None else [known] if isinstance(known, int) else list(known)
        found = [self.turn_end, self.tokenizer.eos_token_id, *known]
        return list(dict.fromkeys(token for token in found if token is not None))

    def ids(self, text: str) -> list[int]:
        """The tokens of an answer, without special ones."""
        return self.tokenizer(text, add_special_tokens=False)['input_ids']

    def texts(self, ids: Tensor) -> list[str]:
        """Answers (B, T) as texts, without special tokens and space around them."""
        return [text.strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]
