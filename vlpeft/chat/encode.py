"""One sample as a model takes it: a processor's tensors, with the answers appended and all but them masked."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .conversation import ChatError
from .render import Answer, Rendered
from .special import special_tokens

IGNORED = -100
#: Names of the tensors that hold a number for each token, and what an answer has there.
PER_TOKEN = dict(attention_mask=1, token_type_ids=0, mm_token_type_ids=0)
# PaliGemma sees its prompt in both directions and must be told where the answer begins, or the answer leaks.
MARKED_ANSWERS = ('PaliGemmaProcessor',)
# Tokens of the prompt before an answer that decide how the answer's first letters are cut into tokens.
BEFORE = 8


def encode(
    processor: Any,
    rendered: Rendered,
    images: Sequence[Any] = (),
    videos: Sequence[Any] = (),
    encoder_decoder: bool = False,
    options: dict[str, Any] | None = None,
) -> dict[str, Tensor]:
    """Runs a processor on one sample.

    The processor sees the whole text once, with a special token in place of each earlier answer; answers are cut into
    tokens by themselves. So the tokens before an answer are, in training, those that the model sees when it generates.

    Args:
        processor: Of transformers.
        rendered: The texts.
        images: What the placeholders of images show, for the processor. Defaults to ().
        videos: Likewise of videos. Defaults to ().
        encoder_decoder: Whether the answer is the decoder's, and ``labels`` hold it alone. Defaults to False.
        options: Further arguments of the processor. Defaults to None.

    Returns:
        The processor's tensors, of batch dimension 1, and for training ``labels`` (1, L), -100 but in answers.

    Raises:
        ChatError: The processor refuses the sample, or gives something for each token that is not known here; or
            no answer is trained on.
    """
    if rendered.for_training and not any(answer.is_trained for answer in rendered.answers):
        raise ChatError('none of its answers is trained on')
    earlier = rendered.answers[: len(rendered.contexts) - 1]
    mark = _mark(processor, rendered) if earlier else ''
    row = _process(processor, mark.join(rendered.contexts), images, videos, dict(options or {}))
    ids = row['input_ids'][0].tolist()
    columns = {
        name: row[name][0].tolist()
        for name, values in row.items()
        if name in PER_TOKEN and values.shape == row['input_ids'].shape
    }
    unknown = [
        name
        for name, values in row.items()
        if name.endswith(('_ids', '_mask')) and values.shape == row['input_ids'].shape
        if name not in PER_TOKEN and name != 'input_ids'
    ]
    if unknown:
        raise ChatError(f"{type(processor).__name__} gives '{unknown[0]}', of which it is not known what answers have")
    marked = type(processor).__name__ in MARKED_ANSWERS
    if marked:
        columns.setdefault('token_type_ids', [0] * len(ids))
    filled = dict(PER_TOKEN, token_type_ids=int(marked))
    labels = [IGNORED] * len(ids)
    if earlier:
        place = processor.tokenizer.convert_tokens_to_ids(mark)
        places = [number for number, token in enumerate(ids) if token == place]
        if len(places) != len(earlier):
            raise ChatError(f'{len(earlier)} earlier answers have {len(places)} places among the tokens')
        for at, answer in reversed(list(zip(places, earlier))):
            said = answer_ids(processor, ids[:at], answer)
            ids[at : at + 1] = said
            labels[at : at + 1] = said if answer.is_trained and not encoder_decoder else [IGNORED] * len(said)
            for name, values in columns.items():
                values[at : at + 1] = [filled[name]] * len(said)
    if rendered.for_training:
        said = answer_ids(processor, [] if encoder_decoder else ids, rendered.answers[-1])
        learned = said if rendered.answers[-1].is_trained else [IGNORED] * len(said)
        if encoder_decoder:
            labels = learned
        else:
            ids, labels = ids + said, labels + learned
            columns = {name: values + [filled[name]] * len(said) for name, values in columns.items()}
        row['labels'] = torch.tensor([labels])
    return row | {name: torch.tensor([values]) for name, values in dict(columns, input_ids=ids).items()}


def _process(processor: Any, text: str, images: Sequence, videos: Sequence, options: dict) -> dict[str, Tensor]:
    if text.startswith(str(processor.tokenizer.bos_token)):
        options['add_special_tokens'] = False  # the template has written the token that begins a text
    if images:
        options['images'] = list(images)
    if videos:
        options['videos'] = [list(videos)]  # by text, as SmolVLM counts them; all others flatten it
    try:
        row = processor(text=[text], return_tensors='pt', **options)
        # Labels of a processor are the prompt's.
        row = {name: torch.as_tensor(values) for name, values in row.items() if name != 'labels'}
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # whatever a processor raises
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise ChatError(f'{type(processor).__name__} refuses it: {type(error).__name__}: {reason[:300]}') from error
    if row['input_ids'].shape[0] != 1:
        raise ChatError(f'{type(processor).__name__} makes {row["input_ids"].shape[0]} texts of one')
    return row


def answer_ids(processor: Any, before: Sequence[int], answer: Answer) -> list[int]:
    """Tokens of an answer and its end, cut as they are behind the tokens ``before``."""
    tokenizer = processor.tokenizer
    said = answer.text + answer.end
    ids = _plain(tokenizer, said)
    if before:
        context = tokenizer.decode(before[-BEFORE:], clean_up_tokenization_spaces=False)
        known, whole = _plain(tokenizer, context), _plain(tokenizer, context + said)
        if whole[: len(known)] == known:
            ids = whole[len(known) :]
    return ids


def _plain(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False, verbose=False)['input_ids']


def _mark(processor: Any, rendered: Rendered) -> str:
    """A special token that no text of the sample holds, to stand for earlier answers."""
    tokenizer, text = processor.tokenizer, ''.join(rendered.contexts)
    shown = {str(getattr(processor, f'{kind}_token', '')) for kind in ('image', 'video', 'audio')}
    eats = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.lstrip or token.rstrip}
    free = [token for token in special_tokens(tokenizer) if token not in text and token not in shown | eats]
    # Processors look for their image tokens by names of many kinds; padding and ends of texts are never among them.
    named = [str(token) for token in (tokenizer.pad_token, tokenizer.unk_token, tokenizer.eos_token) if token]
    found = next((token for token in [*named, *free] if token in free), None)
    if found is None:
        raise ChatError('every special token of the tokenizer is in the text, so earlier answers cannot be set apart')
    return found
