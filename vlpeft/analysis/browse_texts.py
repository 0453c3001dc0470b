"""Texts of packed samples as the tokenizer of a model sees them: tokens, unknown ones, what is cut, what is learned."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from vlpeft.chat.encode import IGNORED
from vlpeft.chat.special import special_tokens
from vlpeft.models.known_words import words_of
from vlpeft.models.tasks import GenerativeVQA, PerceptualLM, Retriever, VLSeq2Seq
from vlpeft.visualization.samples_page import ShownText, Token

#: More tokens than any text has: nothing is cut.
WHOLE = 1_000_000
#: So many of the same token in a row are shown as one.
LONG = 4
#: Fields of packed samples that are texts which a model reads or writes.
READ, WRITTEN = ('text', 'texts', 'question'), ('target', 'answers')
#: Those that a model looks at; others may be what its prompts are made of. All are shown of models that are not here.
LOOKED_AT = {
    Retriever: ('text', 'texts'),
    GenerativeVQA: ('question', 'answers'),
    VLSeq2Seq: ('text', 'target'),
    PerceptualLM: ('text', 'target'),
}


class TextReader:
    """Makes tokens of the texts of a set's samples.

    Args:
        model: The task model, whose tokenizer it is; weights are not looked at.

    Attributes:
        fields: That are shown as texts.
        problem: Why no tokenizer could be loaded; '' where one could.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model, self.tokenizer = model, getattr(model, 'tokenizer', None)
        self.fields = next((own for kind, own in LOOKED_AT.items() if isinstance(model, kind)), (*READ, *WRITTEN))
        self.problem = ''
        try:
            _ = self.tokenizer and self.tokenizer.tokenizer
        except (OSError, ValueError) as error:
            self.tokenizer, self.problem = None, ' '.join(str(error).split())

    def texts(self, sample: BaseDataElement, raw: Mapping[str, Any]) -> Iterator[ShownText]:
        """Those of a packed sample; ``raw`` are its annotations, as before the transforms."""
        for name in self.fields:
            found = sample.get(name)
            values = [found] if isinstance(found, str) else list(found or ())
            before = raw.get(name, raw.get('caption') if name == 'target' else None)
            originals = before if isinstance(before, (list, tuple)) else [before] * len(values)
            for number, value in enumerate(values):
                original = originals[number] if number < len(originals) else None
                label = name if len(values) == 1 else f'{name} {number + 1}'
                if name == 'answers' and sample.get('weights') is not None:
                    label += f' (weight {sample.weights[number]:g})'
                yield self._shown(label, name, str(value), original, sample.get('task'))

    def _shown(self, label: str, name: str, text: str, original: Any, task: str | None) -> ShownText:
        annotated = original if isinstance(original, str) and original != text else ''
        if self.tokenizer is None:
            return ShownText(label, text, annotated)
        cut, limit = self._cutter(name, task)
        whole, kept = cut(text, WHOLE), cut(text, limit)
        learned = name in WRITTEN or isinstance(self.model, PerceptualLM) and self._learns_prompts(task)
        tokens = list(_tokens(self.tokenizer.tokenizer, kept, whole, learned))
        unknown = self.tokenizer.unknown_words(words_of(self._without_special(text)))
        said = [f'{len(kept)} tokens']
        if len(kept) < len(whole):
            said.append(f'of {len(whole)}: cut at {limit}')
        if unknown:
            said.append(f'words that the vocabulary does not know: {", ".join(unknown)}')
        return ShownText(label, text, annotated, tokens, '; '.join(said))

    def _without_special(self, text: str) -> str:
        for token in special_tokens(self.tokenizer.tokenizer):
            text = text.replace(token, ' ')
        return text

    def _cutter(self, name: str, task: str | None) -> tuple[Callable[[str, int | None], list[int]], int | None]:
        """A function of a text and a limit to its ids, as the model makes them, and the limit of the field."""
        tokenizer = self.tokenizer
        if isinstance(self.model, PerceptualLM):
            make = tokenizer.targets if name in WRITTEN else tokenizer.prompts
            return lambda text, limit: make([text])[0], None
        limit = tokenizer.max_length
        if isinstance(self.model, VLSeq2Seq) and task in self.model.tasks:
            settings = self.model.tasks[task]
            limit = settings.max_target if name in WRITTEN else settings.max_text
        return lambda text, most: tokenizer.ids([text], most)[0], limit

    def _learns_prompts(self, task: str | None) -> bool:
        return task in self.model.tasks and self.model.tasks[task].loss_on == 'text'


def chat_texts(processor: Any, inputs: Mapping[str, Tensor]) -> Iterator[ShownText]:
    """Of a conversation: all tokens, those that are learned marked; of encoder-decoders the answer by itself."""
    tokenizer = processor.tokenizer
    ids, labels = inputs['input_ids'][0].tolist(), inputs.get('labels')
    rows = [('conversation', ids, [IGNORED] * len(ids))]
    if labels is not None:
        wanted = labels[0].tolist()
        if len(wanted) == len(ids):
            rows = [('conversation', ids, wanted)]
        else:
            rows.append(('answer, what the decoder writes', wanted, wanted))
    special = set(tokenizer.convert_tokens_to_ids(special_tokens(tokenizer)))
    for name, row, wanted in rows:
        kinds = [_kind(tokenizer, token, special, label != IGNORED) for token, label in zip(row, wanted)]
        count = sum(label != IGNORED for label in wanted)
        note = f'{len(row)} tokens' + (f', {count} of them learned' if labels is not None else ', nothing is learned')
        yield ShownText(name, _said(tokenizer, row), '', _grouped(tokenizer, row, kinds), note)


def _said(tokenizer: Any, ids: Sequence[int]) -> str:
    return tokenizer.decode([token for token in ids if token != IGNORED], skip_special_tokens=True).strip()


def _tokens(tokenizer: Any, kept: Sequence[int], whole: Sequence[int], learned: bool) -> Iterator[Token]:
    special = set(tokenizer.all_special_ids)
    same = next((i for i, (one, other) in enumerate(zip(kept, whole)) if one != other), min(len(kept), len(whole)))
    end = len(whole) - (len(kept) - same)
    row = [*kept[:same], *whole[same:end], *kept[same:]]
    lost = range(same, end)
    kinds = ['cut' if place in lost else _kind(tokenizer, token, special, learned) for place, token in enumerate(row)]
    yield from _grouped(tokenizer, row, kinds)


def _kind(tokenizer: Any, token: int, special: set[int], learned: bool) -> str:
    # Vocabularies of bytes know all words, and name another token as the unknown one.
    ends = (tokenizer.eos_token_id, tokenizer.bos_token_id)
    if token == tokenizer.unk_token_id and token not in ends:
        return 'unknown'
    return 'learned' if learned else 'special' if token in special else 'plain'


def _grouped(tokenizer: Any, ids: Sequence[int], kinds: Sequence[str]) -> list[Token]:
    """Long runs of the same token, such as those of an image, are one."""
    found = []
    for (token, kind), run in itertools.groupby(zip(ids, kinds)):
        count = len(list(run))
        one = _reads(tokenizer, token)
        found += [Token(one, kind, count)] if count >= LONG else [Token(one, kind)] * count
    return found


def _reads(tokenizer: Any, token: int) -> str:
    """A token as it reads, a blank as ``·``; bytes of a character by their name."""
    if token < 0:
        return 'not counted'
    piece = tokenizer.convert_ids_to_tokens(token)
    text = tokenizer.decode([token], clean_up_tokenization_spaces=False)
    if '\ufffd' in text or not text:
        return str(piece)
    # SentencePiece drops the blank in front of a text's first word, which each is here.
    text = f' {text}' if str(piece).startswith('▁') and not text.startswith(' ') else text
    text = f'##{text}' if str(piece).startswith('##') and not text.startswith('##') else text
    return text.replace(' ', '·').replace('\n', '↵')
