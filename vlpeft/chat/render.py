"""From turns to texts: what a model reads before each answer, and what it should say.

What follows the prompt in the rendered conversation is the answer, so that training and generation see the same text.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from .conversation import ChatError, text_of
from .special import check_texts, end_token, special_tokens


class Answer(NamedTuple):
    """What the model should say: ``text``, its ``end`` token written out, and whether it ``is_trained`` on."""

    text: str
    end: str
    is_trained: bool = True


class Rendered(NamedTuple):
    """``contexts[0]``, ``answers[0]``, ``contexts[1]``, …: with as many answers as contexts the last one is there for
    training, with one fewer the model speaks next.
    """

    contexts: list[str]
    answers: list[Answer]

    @property
    def for_training(self) -> bool:
        """Whether the last answer is there."""
        return len(self.answers) == len(self.contexts)


def render_template(processor: Any, turns: Sequence[dict], only_last: bool = False) -> Rendered:
    """Renders with the chat template of a processor.

    Args:
        processor: Of transformers.
        turns: Of a conversation; the last one is the assistant's for training, else the user's.
        only_last: Whether only the last answer is trained on. Defaults to False.

    Raises:
        ChatError: The template cannot render the turns, or the conversation does not begin with what it renders for a
            prompt; a turn holds a token of the template, such as the one that ends an answer, or of an image.
    """
    plain = [dict(role=turn['role'], content=turn['content']) for turn in turns]
    contexts, answers, done = [], [], 0
    spoken = [number for number, turn in enumerate(turns) if turn['role'] == 'assistant']
    whole = ''
    for number in spoken:
        prompt, before = _apply(processor, plain[:number], True), whole
        whole = _apply(processor, plain[: number + 1], False)
        if not prompt.startswith(before[:done]) or not whole.startswith(prompt):
            raise ChatError(
                f'the chat template of {type(processor).__name__} renders what comes before answer {len(answers) + 1} '
                'otherwise once the answer is there, so the answer cannot be told apart; give another `chat_template`, '
                'or a `prompt`'
            )
        contexts.append(prompt[done:])
        text, end, used = _answer(processor, text_of(turns[number]), whole[len(prompt) :])
        answers.append(Answer(text, end, turns[number].get('loss', True) and (not only_last or number == spoken[-1])))
        done = len(prompt) + used
    if not spoken or spoken[-1] < len(turns) - 1:
        prompt = _apply(processor, plain, True)
        if not prompt.startswith(whole[:done]):
            raise ChatError(f'the chat template of {type(processor).__name__} changes earlier answers')
        contexts.append(prompt[done:])
    check_texts(processor, turns, [*contexts, *(answer.text + answer.end for answer in answers)])
    return Rendered(contexts, answers)


def _apply(processor: Any, turns: list[dict], add_generation_prompt: bool) -> str:
    try:
        return processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=add_generation_prompt)
    except Exception as error:  # whatever a template raises
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise ChatError(f'the chat template of {type(processor).__name__} refuses the turns: {reason[:300]}') from error


def _answer(processor: Any, said: str, rendered: str) -> tuple[str, str, int]:
    """The answer up to its end token, that token, and how much of ``rendered`` both take.

    Templates that write no end token leave it to the code that trains: it is the tokenizer's.
    """
    at = rendered.find(said)
    if at < 0:
        raise ChatError(
            f'the chat template of {type(processor).__name__} does not render an answer as it is written: '
            f'{said[:60]!r} became {rendered[:60]!r}'
        )
    at += len(said)
    rest = rendered[at:]
    blank = len(rest) - len(rest.lstrip())
    found = [token for token in special_tokens(processor.tokenizer) if rest[blank:].startswith(token)]
    if found:
        end = max(found, key=len)
        return rendered[: at + blank], end, at + blank + len(end)
    return rendered[:at], end_token(processor.tokenizer), at


def render_prompt(
    processor: Any, turns: Sequence[dict], prompt: str, answer: str = '{answer}', image_token: str = '<image>'
) -> Rendered:
    """Renders a question and its answer for a family without chat template.

    Args:
        processor: Of transformers.
        turns: A question and, for training, its answer.
        prompt: With the fields ``{question}`` and, where the processor wants its image tokens written, ``{images}``.
        answer: With the field ``{answer}``. Defaults to that alone.
        image_token: What ``{images}`` repeats for each image. Defaults to '<image>'.

    Raises:
        ChatError: There are more turns or a system text; a turn holds a token that ends a text or stands for an image.
    """
    roles = [turn['role'] for turn in turns]
    if roles not in (['user'], ['user', 'assistant']):
        raise ChatError(
            f'a prompt without a chat template holds one question and one answer; the turns are {", ".join(roles)}'
        )
    shown = sum(part['type'] == 'image' for part in turns[0]['content'])
    # A template with other fields was refused where it was given.
    context = prompt.format(question=text_of(turns[0]), images=image_token * shown)
    end = end_token(processor.tokenizer)
    said = [Answer(answer.format(answer=text_of(turn)), end, turn.get('loss', True)) for turn in turns[1:]]
    check_texts(processor, turns, [context, *(answer.text + answer.end for answer in said)])
    return Rendered([context], said)
