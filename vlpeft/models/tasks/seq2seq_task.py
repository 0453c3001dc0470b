"""What one task asks of a sequence-to-sequence model: lengths, loss, and how it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

from vlpeft.nearest import suggestion

LOSSES = ('sample', 'token')
OUTPUTS = ('pred_answer', 'pred_caption')
#: Settings of generation that say what comes back, not how texts are found.
NOT_OF_A_TASK = (
    'num_return_sequences',
    'return_dict_in_generate',
    'output_scores',
    'output_logits',
    'output_attentions',
    'output_hidden_states',
    'transformers_version',
)


def check_settings(**options: tuple[str, Sequence[str]]) -> None:
    """Raises ValueError for the first setting, ``name=(value, choices)``, whose value is not among its choices."""
    for option, (value, choices) in options.items():
        if value not in choices:
            raise ValueError(f'task setting {option}={value!r}; choose from {choices}')


def check_counts(**options: tuple[int, int]) -> None:
    """Raises ValueError for the first setting, ``name=(value, least)``, that is not an integer of at least that."""
    for option, (value, least) in options.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f'task setting {option}={value!r}; it is an integer of at least {least}')


def tasks_of(kind: type, tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Settings by task as instances of the dataclass ``kind``.

    Raises:
        ValueError: There is no such setting; or as of ``kind``.
    """
    known = [field.name for field in fields(kind)]
    for task, settings in tasks.items():
        for name in settings:
            if name not in known:
                raise ValueError(f'tasks.{task}: there is no setting {name!r}{suggestion(name, known)}')
    return {task: kind(**settings) for task, settings in tasks.items()}


def only_task(data_samples: Sequence, tasks: Mapping) -> str:
    """The one task of a batch.

    Raises:
        ValueError: There are several, or it has no settings.
    """
    names = {sample.task for sample in data_samples}
    if len(names) > 1 or not names <= set(tasks):
        raise ValueError(
            f'a batch holds samples of one of the tasks {", ".join(tasks)}; this one holds {", ".join(sorted(names))}'
        )
    return names.pop()


@dataclass(frozen=True)
class Seq2SeqTask:
    """Settings of a task.

    Attributes:
        max_text: Longest encoder text in tokens, special tokens included. Defaults to None, not cut.
        max_target: Longest target in tokens, special tokens included. Defaults to None, not cut.
        loss: ``'sample'``: mean over the tokens of each sample, times its weight, mean over the batch; ``'token'``:
            mean over all tokens of the batch, of all processes. Defaults to ``'sample'``.
        output: Field of the prediction, ``'pred_answer'`` or ``'pred_caption'``. Defaults to ``'pred_answer'``.
        choices: Answers of which the one with the likelier first token is taken, without generation; of equally likely
            ones the first. Defaults to None: the answer is generated.
        generation: Settings of transformers' ``GenerationConfig``: ``num_beams``, ``max_length`` (start token
            included), ``early_stopping``, … Defaults to none: greedy, 20 tokens.

    Raises:
        ValueError: Unknown ``loss``, ``output`` or setting of ``generation``, fewer than two choices, or a length that
            leaves no token to write.
    """

    max_text: int | None = None
    max_target: int | None = None
    loss: str = 'sample'
    output: str = 'pred_answer'
    choices: tuple[str, ...] | None = None
    generation: Mapping = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_settings(loss=(self.loss, LOSSES), output=(self.output, OUTPUTS))
        if self.choices is not None and len(self.choices) < 2:
            raise ValueError(f'task setting choices={self.choices!r} leaves nothing to choose')
        self._check_generation()

    @property
    def decoding(self) -> dict[str, Any]:
        """All that :attr:`generation` says and what it leaves open: greedy, 20 tokens, the start token included.

        These are arguments of ``generate``: inside a ``GenerationConfig`` a value that equals the library's default,
        such as ``max_length=20``, reads as not set.
        """
        length = {} if 'max_new_tokens' in self.generation else dict(max_length=20)
        return {**dict(num_beams=1, do_sample=False), **length, **self.generation}

    def _check_generation(self) -> None:
        if not self.generation:
            return
        from transformers import GenerationConfig

        known = sorted(name for name in GenerationConfig().to_dict() if name not in NOT_OF_A_TASK)
        for name in self.generation:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                raise ValueError(
                    f'task setting generation has no {name!r}; '
                    + (f'did you mean {near[0]!r}?' if near else f'choose from {", ".join(known)}')
                )
        asked = self.decoding
        least = dict(max_length=2, max_new_tokens=1, num_beams=1)
        check_counts(**{name: (asked[name], least[name]) for name in least if name in asked})
