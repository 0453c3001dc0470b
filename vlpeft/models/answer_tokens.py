"""Answers of image-text-to-text models: what ends them, their texts and their tokens, by the model's own processor."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from vlpeft.chat.encode import IGNORED, MARKED_ANSWERS, PER_TOKEN, answer_ids
from vlpeft.chat.render import Answer, render_template
from vlpeft.chat.special import check_texts, end_token

#: A word that no chat template holds.
_WORD = 'vlpeft'


class AnswerTokens:
    """The same tokens as those on which the model trains, see :mod:`vlpeft.chat`.

    Loaded on first use: building a model needs no processor.

    Args:
        processor: Hub name or directory of the model's processor.

    Raises:
        ValueError: On first use, if the processor cannot be found.
    """

    def __init__(self, processor: str) -> None:
        self.name = processor

    @cached_property
    def processor(self):
        """transformers' processor, the one that makes samples where they are made in this process."""
        from vlpeft.datasets.processors import load_processor

        return load_processor(self.name)

    @property
    def tokenizer(self):
        """The processor's tokenizer."""
        return self.processor.tokenizer

    def check_fits(self, config) -> None:
        """Refuses a processor that is not that of the model.

        Args:
            config: transformers' config of the model.

        Raises:
            ValueError: What stands for an image in the model is no special token here.
        """
        numbers = (getattr(config, name, None) for name in ('image_token_id', 'image_token_index'))
        token = next((number for number in numbers if number is not None), None)
        if token is not None and token not in self.tokenizer.added_tokens_decoder:
            raise ValueError(
                f'processor {self.name!r} is not that of this {config.model_type}: token {token}, which stands for an '
                f'image there, is {self.tokenizer.convert_ids_to_tokens(token)!r} here, no special token'
            )

    @cached_property
    def _form(self) -> tuple[str, str]:
        """What stands before an answer behind the prompt, such as a space, and the token that ends it, as texts."""
        if not getattr(self.processor, 'chat_template', None):
            return '', end_token(self.tokenizer)
        texts = (('user', '?'), ('assistant', _WORD))
        turns = [dict(role=role, content=[dict(type='text', text=text)]) for role, text in texts]
        (answer,) = render_template(self.processor, turns).answers
        return answer.text.removesuffix(_WORD), answer.end

    def ends(self, known: int | Sequence[int] | None) -> list[int]:
        """The tokens that end an answer: the one that is trained, the tokenizer's, and those that the model knows."""
        known = [] if known is None else [known] if isinstance(known, int) else list(known)
        found = [self.tokenizer.convert_tokens_to_ids(self._form[1]), self.tokenizer.eos_token_id, *known]
        return list(dict.fromkeys(token for token in found if token is not None))

    def texts(self, ids: Tensor) -> list[str]:
        """Answers (B, T) as texts, without special tokens and space around them."""
        return [text.strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]

    def ids(self, text: str, prompts: Tensor, is_decoders: bool) -> list[int]:
        """The tokens of an answer, and the one that ends it, behind prompts (B, L) that end alike.

        Args:
            text: The answer.
            prompts: Token ids.
            is_decoders: Whether a decoder of its own writes the answer.

        Raises:
            ChatError: The answer holds a special token by which conversations are built.
        """
        lead, end = self._form
        check_texts(self.processor, [dict(role='assistant', content=[dict(type='text', text=text)])], [text + end])
        before = [] if is_decoders else prompts[0].tolist()
        return answer_ids(self.processor, before, Answer(lead + text, end))

    def behind(self, inputs: Mapping[str, Any], ids: Sequence[int], is_decoders: bool) -> tuple[dict[str, Any], Tensor]:
        """Prompts with the same answer behind each, as in training, and labels that count it.

        Args:
            inputs: What the processor makes of B prompts.
            ids: T tokens of the answer.
            is_decoders: Whether a decoder of its own writes the answer; the prompts then stay alone.

        Returns:
            Inputs of L + T tokens, and labels (B, L + T); or the inputs and labels (B, T).
        """
        prompts = inputs['input_ids']
        answer = prompts.new_tensor(ids).expand(len(prompts), -1)
        if is_decoders:
            return dict(inputs), answer
        longer = dict(inputs, input_ids=torch.cat([prompts, answer], 1))
        marks = dict(PER_TOKEN, token_type_ids=int(type(self.processor).__name__ in MARKED_ANSWERS))
        for name in marks.keys() & inputs.keys():
            rest = torch.full_like(answer, marks[name]).to(inputs[name].dtype)
            longer[name] = torch.cat([inputs[name], rest], 1)
        return longer, torch.cat([torch.full_like(prompts, IGNORED), answer], 1)
