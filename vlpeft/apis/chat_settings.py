"""How a call of a chat model is answered: the task's settings, and what the call says otherwise."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from vlpeft.models.tasks.image_text_task import ImageTextTask
from vlpeft.models.tasks.sampling import Sampling


class Answering(NamedTuple):
    """Settings of one call: the ``task``'s, and how answers are drawn (``sampling``), None for the likeliest."""

    task: ImageTextTask
    sampling: Sampling | None


def answering(
    task: ImageTextTask,
    max_new_tokens: int | None = None,
    num_beams: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    choices: Sequence[str] | None = None,
    chosen_by: str | None = None,
) -> Answering:
    """The settings of a task with those of a call in their place.

    Args:
        task: Settings of the config.
        max_new_tokens, num_beams, choices, chosen_by: Of :class:`ImageTextTask`; None for the task's. ``choices`` of
            a call are chosen by ``'score'`` unless it says otherwise.
        temperature, top_p, seed: Of :class:`Sampling`, which acts where there is a temperature.

    Raises:
        ValueError: A setting is out of its range, has no effect beside the others, or sampling has no seed.
    """
    if temperature is None and (stray := _first(top_p=top_p, seed=seed)):
        raise ValueError(f'{stray} is of sampling; set temperature too, or leave it out for the likeliest answer')
    if choices is not None and (
        stray := _first(max_new_tokens=max_new_tokens, num_beams=num_beams, temperature=temperature)
    ):
        raise ValueError(f'{stray} is of written answers, and choices are compared; leave one of them out')
    if temperature is not None and num_beams not in (None, 1):
        raise ValueError(f'num_beams={num_beams} looks for the likeliest answer and temperature draws one; choose')
    if temperature is not None and seed is None:
        raise ValueError('temperature draws answers at random; set seed too, by which they can be repeated')
    if choices is None and chosen_by is not None and task.choices is None:
        raise ValueError(f'chosen_by={chosen_by!r} is of choices, and there are none')
    changed: dict[str, Any] = dict(max_new_tokens=max_new_tokens, num_beams=num_beams, chosen_by=chosen_by)
    if choices is not None:
        changed.update(choices=_checked(choices), chosen_by=chosen_by or 'score')
    elif _first(max_new_tokens=max_new_tokens, num_beams=num_beams, temperature=temperature):
        task = replace(task, choices=None)
    task = replace(task, **{name: value for name, value in changed.items() if value is not None})
    if temperature is None:
        return Answering(task, None)
    sampling = Sampling(temperature, seed, 1.0 if top_p is None else top_p)
    return Answering(replace(task, num_beams=1), sampling)


def _first(**settings: Any) -> str | None:
    """The first setting that is given, as it is written."""
    return next((f'{name}={value!r}' for name, value in settings.items() if value is not None), None)


def _checked(choices: Sequence[str]) -> tuple[str, ...]:
    if isinstance(choices, str) or not all(isinstance(text, str) and text.strip() for text in choices):
        raise ValueError(f'choices={choices!r}; a list of answers, none of them blank')
    return tuple(choices)
