"""What one task asks of a sequence-to-sequence model: lengths, loss, and how it answers."""

from dataclasses import dataclass, field
from typing import Mapping, Optional, Sequence, Tuple

LOSSES = ('sample', 'token')
OUTPUTS = ('pred_answer', 'pred_caption')


def check_settings(**options: Tuple[str, Sequence[str]]) -> None:
    """Raises ValueError for the first setting, ``name=(value, choices)``, whose value is not among its choices."""
    for option, (value, choices) in options.items():
        if value not in choices:
            raise ValueError(f'task setting {option}={value!r}; choose from {choices}')


def check_counts(**options: Tuple[int, int]) -> None:
    """Raises ValueError for the first setting, ``name=(value, least)``, that is not an integer of at least that."""
    for option, (value, least) in options.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f'task setting {option}={value!r}; it is an integer of at least {least}')


def only_task(data_samples: Sequence, tasks: Mapping) -> str:
    """The one task of a batch.

    Raises:
        ValueError: There are several, or it has no settings.
    """
    names = {sample.task for sample in data_samples}
    if len(names) > 1 or not names <= set(tasks):
        raise ValueError(f'a batch holds samples of one of the tasks {", ".join(tasks)}; this one holds '
                         f'{", ".join(sorted(names))}')
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
        ValueError: Unknown ``loss`` or ``output``, or fewer than two choices.
    """
    max_text: Optional[int] = None
    max_target: Optional[int] = None
    loss: str = 'sample'
    output: str = 'pred_answer'
    choices: Optional[Tuple[str, ...]] = None
    generation: Mapping = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_settings(loss=(self.loss, LOSSES), output=(self.output, OUTPUTS))
        if self.choices is not None and len(self.choices) < 2:
            raise ValueError(f'task setting choices={self.choices!r} leaves nothing to choose')
